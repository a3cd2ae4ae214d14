"""Assign a document to training or validation from nothing but its own text."""

import xxhash


def document_hash(text: str) -> bytes:
    """The identity of a document: 128 bits of xxh3 over its cleaned text."""
    return xxhash.xxh3_128_digest(text.encode())


def is_validation(document_hash: bytes, share: float) -> bool:
    """Whether a document belongs to validation; `share` is the expected fraction of documents, 0 to 0.5.

    The choice depends on the text alone, so no text can be on both sides, whatever the order, the number of workers
    or the size of the corpus.
    """
    return int.from_bytes(document_hash[:8], "big") / 2**64 < share
