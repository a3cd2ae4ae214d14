"""Turn a corpus into train.txt and val.txt for programs that read text: a document on each line."""

from pathlib import Path

from abovo.corpus.shards import Split, read_documents
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce

SPLITS: tuple[Split, ...] = ("train", "val")


def write_text(corpus: Manifest, output: Path, script: Script | Path) -> Manifest:
    """Write the documents of each split in the corpus' order, UTF-8; what breaks a line within one becomes a blank."""

    def make(folder: Path) -> Made:
        counts: dict[str, int] = {}
        for split in SPLITS:
            lines = 0
            with (folder / f"{split}.txt").open("w", encoding="utf-8", newline="\n") as file:
                for document in read_documents(corpus, split):
                    file.write(" ".join(filter(None, map(str.strip, document.text.splitlines()))) + "\n")
                    lines += 1
            counts[split] = lines
        return Made(counts)

    return produce(Job(output, "abovo/text/1", {"corpus": corpus}, {}, script), make)
