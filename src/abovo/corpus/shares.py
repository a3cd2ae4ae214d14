"""One source on its way into a corpus, and the order in which its documents stand."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import xxhash

from abovo.corpus.shards import Document, read_shard
from abovo.provenance.manifest import Manifest

# Prefixes of the order key that tokens are counted by: a budget ends at the end of one of these bins.
BINS = 1 << 16


@dataclass
class Share:
    """What is known of a source: tokens per bin of the order key, which documents are duplicates, and the `end`, the
    first bin that its budget does not reach any more."""

    name: str
    number: int
    manifest: Manifest
    budget: int | None
    tokens_in_bin: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    duplicate_bits: np.ndarray = field(init=False)
    end: int = BINS

    def __post_init__(self) -> None:
        self.duplicate_bits = np.zeros(self.manifest["counts"]["documents"] // 8 + 1, np.uint8)

    def documents(self) -> Iterator[Document]:
        name = "documents.jsonl.zst"
        expected = self.manifest["outputs"].get(name, {}).get("sha256")
        return read_shard(self.manifest.path.parent / name, expected, self.manifest.path)

    def mark_duplicate(self, index: int) -> None:
        self.duplicate_bits[index >> 3] |= np.uint8(1 << (index & 7))

    def is_duplicate(self, index: int) -> bool:
        return bool(int(self.duplicate_bits[index >> 3]) >> (index & 7) & 1)

    def set_end(self) -> None:
        """Let the source end with the bin in which its budget is reached."""
        if self.budget is not None:
            self.end = min(int(np.searchsorted(np.cumsum(self.tokens_in_bin), self.budget)) + 1, BINS)


def order_key(seed: int, document_hash: bytes) -> int:
    """The place of a document in its source's order: 64 bits that depend on seed and text alone."""
    return xxhash.xxh3_64_intdigest(document_hash, seed)


def stretched(key: int, end: int) -> int:
    """An order key below the bin `end`, spread over the whole range of 64 bits."""
    return key * BINS // end
