"""Assign a document to training or validation from nothing but its own text."""

import numpy as np
import xxhash

from abovo.corpus.characters import comparable


def document_hash(text: str) -> bytes:
    """The identity of a document: 128 bits of xxh3 over its cleaned text, as texts are compared."""
    return xxhash.xxh3_128_digest(comparable(text).encode())


def is_validation(document_hash: bytes, share: float) -> bool:
    """Whether a document belongs to validation; `share` is the expected fraction of documents, 0 to 0.5.

    The choice depends on the text alone, so no text can be on both sides, whatever the order, the number of workers
    or the size of the corpus.
    """
    return int.from_bytes(document_hash[:8], "big") / 2**64 < share


def are_validation(high: np.ndarray, share: float) -> np.ndarray:
    """`is_validation` for many documents, given the first 8 bytes of each hash as uint64."""
    return high.astype(np.float64) / 2**64 < share
