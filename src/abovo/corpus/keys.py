"""Write and read what the engine knows of each document of a part: fixed-size records beside the documents.

keys.bin holds one record per document in the order of documents.jsonl.zst, bands.bin the document's band hashes, so
that deduplication and budgets never touch the text.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from abovo.errors import AbovoError
from abovo.provenance.manifest import Manifest

# position: unit and row in the source; place: hash that orders the corpus; high, low: 128-bit hash of
# the text as it is compared
KEY = np.dtype(
    [("position", "<u8"), ("place", "<u8"), ("high", "<u8"), ("low", "<u8"), ("tokens", "<u4"), ("bytes", "<u4")]
)
DOCUMENTS, KEYS, BANDS = "documents.jsonl.zst", "keys.bin", "bands.bin"
# What was refused or cut because of evaluation sets: one JSON object per document.
CONTAMINATED = "contaminated.jsonl"
# Records that are looked at at once.
BLOCK = 1 << 16


class KeyWriter:
    """Appends records to keys.bin and, where there are bands, to bands.bin."""

    def __init__(self, folder: Path, bands: int) -> None:
        self.keys: IO[bytes] = (folder / KEYS).open("wb", 1 << 18)
        self.bands: IO[bytes] | None = (folder / BANDS).open("wb", 1 << 18) if bands else None

    def write(self, keys: np.ndarray, bands: np.ndarray | None) -> None:
        self.keys.write(keys.tobytes())
        if self.bands is not None and bands is not None:
            self.bands.write(bands.astype("<u8").tobytes())

    def close(self) -> None:
        self.keys.close()
        if self.bands is not None:
            self.bands.close()


@dataclass(frozen=True)
class Part:
    """What one job read of a source: its number among all parts of all sources, and where its files are.

    Of its documents those at positions from `below` on do not count, since another part holds them.
    """

    number: int
    source: str
    manifest: Manifest
    bands_per_document: int
    below: int | None = None

    @property
    def documents(self) -> int:
        return self.manifest["counts"]["documents"]

    @property
    def until(self) -> int | None:
        """The first position that was not read; None when the part was read to its end."""
        return self.manifest["until"]

    def key_records(self) -> Iterator[tuple[int, np.ndarray]]:
        """(number of the first document, records) block by block."""
        return self._blocks(KEYS, KEY, 1)

    def band_records(self) -> Iterator[tuple[int, np.ndarray]]:
        """(number of the first document, uint64 [documents, bands]) block by block."""
        return self._blocks(BANDS, np.dtype("<u8"), self.bands_per_document)

    def verify(self) -> None:
        """Check the records against the manifest, once for all that will be done with them."""
        for name in (KEYS, BANDS) if self.bands_per_document else (KEYS,):
            self.manifest.file(name)

    def _blocks(self, name: str, dtype: np.dtype, columns: int) -> Iterator[tuple[int, np.ndarray]]:
        # Not mapped into memory: pages of a map count as memory of the process.
        path = self.manifest.path.parent / name
        if not path.is_file() or path.stat().st_size != self.documents * columns * dtype.itemsize:
            mend = f"remove {self.manifest.path} and make it again"
            raise AbovoError(f"does not hold the records of {self.documents} documents", path, mend)
        with path.open("rb") as file:
            for block in blocks(self.documents):
                records = np.fromfile(file, dtype, (block.stop - block.start) * columns)
                yield block.start, records if columns == 1 else records.reshape(-1, columns)


def parts_of(sources: Mapping[str, Sequence[Manifest]], bands: int) -> list[Part]:
    """All parts of all sources, numbered in the sources' order."""
    pairs = [(name, manifest) for name, manifests in sources.items() for manifest in manifests]
    return [Part(number, name, manifest, bands) for number, (name, manifest) in enumerate(pairs)]


def blocks(length: int) -> Iterator[slice]:
    """Slices that cover `length` records."""
    for start in range(0, length, BLOCK):
        yield slice(start, min(length, start + BLOCK))
