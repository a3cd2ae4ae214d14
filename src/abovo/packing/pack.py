"""Turn the documents of a corpus into rows of token ids: one after the other, EOS after each, cut at the rows' ends."""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from abovo.console.progress import Progress
from abovo.corpus.shards import Document
from abovo.corpus.split import is_validation
from abovo.errors import AbovoError
from abovo.packing.bins import RowWriter, Split, dtype_for
from abovo.packing.lineage import DocumentIndex, Place, numbered_documents
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.tokenizing.load import Tokenizer

BATCH = 64


@dataclass
class Tally:
    """What went into a split."""

    documents: int = 0
    tokens: int = 0
    bytes: int = 0
    words: int = 0
    cropped: int = 0

    def add(self, document: Document, start: int, length: int, sequence_length: int) -> None:
        """Count a document whose `length` ids, EOS included, begin at the place `start` of the split's ids."""
        self.documents += 1
        self.tokens += length
        self.bytes += len(document.text.encode())
        self.words += len(document.text.split())
        self.cropped += start // sequence_length != (start + length - 1) // sequence_length

    def counts(self, rows: RowWriter) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "tokens": self.tokens,
            "bytes": self.bytes,
            "words": self.words,
            "rows": rows.rows,
            "cropped_share": round(self.cropped / max(self.documents, 1), 6),
            "padded_share": round(rows.padded / max(rows.written, 1), 6),
        }


def pack_corpus(
    corpus: Manifest, tokenizer: Tokenizer, sequence_length: int, output: Path, script: Script | Path
) -> Manifest:
    """Write train.bin and val.bin with rows of `sequence_length` ids.

    A document's split is that of its text's hash. Training rows follow the corpus' order; validation rows are grouped
    by source, and val.idx says where each source begins and ends. The last row of training, and of each source in
    validation, is filled up with the tokenizer's pad. Constant memory.
    """
    settings = {
        "sequence_length": sequence_length,
        "bos_id": tokenizer.bos,
        "eos_id": tokenizer.eos,
        "pad_id": tokenizer.pad,
    }

    def make(folder: Path) -> Made:
        counts = _write(corpus, tokenizer, sequence_length, folder)
        fields = {
            "tokenizer_sha256": tokenizer.sha256,
            "vocabulary_size": tokenizer.vocabulary_size,
            "dtype": dtype_for(tokenizer.vocabulary_size).str,
            **settings,
        }
        return Made(counts, fields)

    inputs = {"corpus": corpus, "tokenizer": tokenizer.manifest}
    return produce(Job(output, "abovo/packed/1", inputs, settings, script), make)


def _write(corpus: Manifest, tokenizer: Tokenizer, length: int, folder: Path) -> dict[str, Any]:
    share, size, progress = corpus["validation_share"], tokenizer.vocabulary_size, Progress("packing")
    tallies: dict[Split, Tally] = {"train": Tally(), "val": Tally()}
    apart = folder / ".val"
    with ExitStack() as stack:
        train = stack.enter_context(RowWriter(folder, "train", length, size))
        groups, indexes = {}, {}
        train_index = stack.enter_context(DocumentIndex(folder, "train"))
        for source in corpus["sources"]:
            (apart / source).mkdir(parents=True)
            groups[source] = stack.enter_context(RowWriter(apart / source, "val", length, size))
            indexes[source] = stack.enter_context(DocumentIndex(apart / source, "val"))
        for place, document, ids in _encoded(corpus, tokenizer):
            held_out = is_validation(document.hash, share)
            rows = groups[document.source] if held_out else train
            tallies["val" if held_out else "train"].add(document, rows.written, len(ids), length)
            index = indexes[document.source] if held_out else train_index
            index.add(rows.written, len(ids), place)
            rows.write(ids)
            progress.update(f"{train.written + sum(group.written for group in groups.values()):,} tokens")
        for rows in (train, *groups.values()):
            rows.fill(tokenizer.pad)
    with RowWriter(folder, "val", length, size) as val, DocumentIndex(folder, "val") as val_index:
        places = {}
        for source, group in groups.items():
            first = val.rows
            val_index.append(apart / source / "val.docs", val.written)
            with (apart / source / "val.bin").open("rb") as file:
                while (part := np.fromfile(file, val.dtype, 1 << 20)).size:
                    val.write(part)
            val.padded += group.padded
            places[source] = [first, val.rows]
        val.fields["sources"] = places
    shutil.rmtree(apart)
    for split, rows in (("train", train), ("val", val)):
        if not rows.rows:
            name = "training" if split == "train" else "validation"
            alike = sum(corpus["counts"].get(kind, 0) for kind in ("duplicates", "near_duplicates"))
            told = f"; {alike:,} more documents are equal or nearly equal to its own" if alike else ""
            raise AbovoError(
                f"no {name} document in the corpus{told}", corpus.path,
                "change its validation_share, or its sources' documents, or give it other text",
            )  # fmt: skip
    progress.close(f"{train.rows:,} training and {val.rows:,} validation rows of {length}")
    return {"train": tallies["train"].counts(train), "val": tallies["val"].counts(val)}


def _encoded(corpus: Manifest, tokenizer: Tokenizer) -> Iterator[tuple[Place, Document, np.ndarray]]:
    """Documents with their place in the corpus, their ids and what they begin and end with, in the corpus' order."""
    documents, begin = numbered_documents(corpus), np.array([] if tokenizer.bos is None else [tokenizer.bos], np.uint32)
    end = np.array([tokenizer.eos], np.uint32)
    while batch := list(itertools.islice(documents, BATCH)):
        encoded = tokenizer.encode_arrays([document.text for _, document in batch])
        for (place, document), ids in zip(batch, encoded, strict=True):
            yield place, document, np.concatenate([begin, ids, end])
