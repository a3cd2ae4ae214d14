"""Find the exact duplicates among the documents of all sources, with memory for one partition of their hashes."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import orjson

from abovo.corpus.shares import Share, order_key

# Documents whose hash, source and id are held at a time (about 30 MB).
PARTITION = 100_000
MAX_PARTITIONS = 900


def find_duplicates(shares: Sequence[Share], seed: int, folder: Path) -> dict[str, int]:
    """Mark every document whose text an earlier one has, and count the tokens of the others by their order key.

    Of equal texts the one with the smallest (number of the source, id) stays, whatever order they were read in.
    Returns the number of duplicates per source.
    """
    total = sum(share.manifest["counts"]["documents"] for share in shares)
    number = min(MAX_PARTITIONS, max(1, math.ceil(total / PARTITION)))
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        files = [stack.enter_context((folder / str(part)).open("wb", 1 << 15)) for part in range(number)]
        for share in shares:
            for index, document in enumerate(share.documents()):
                digest = document.hash
                record = (digest.hex(), share.number, document.id, index, document.tokens)
                files[int.from_bytes(digest[8:12], "big") * number >> 32].write(orjson.dumps(record) + b"\n")
    found = {share.name: 0 for share in shares}
    for part in range(number):
        for first, source, index, text_hash, tokens in _ranked(folder / str(part)):
            share = shares[source]
            if first:
                share.tokens_in_bin[order_key(seed, bytes.fromhex(text_hash)) >> 48] += tokens
            else:
                share.mark_duplicate(index)
                found[share.name] += 1
        (folder / str(part)).unlink()
    folder.rmdir()
    return found


def _ranked(path: Path) -> Iterator[tuple[bool, int, int, str, int]]:
    """(is the first of its text, source, index, hash, tokens) for each record of a partition."""
    previous: str | None = None
    with path.open("rb") as file:
        ranked: list[tuple[str, int, str, int, int]] = sorted(orjson.loads(line) for line in file)
    for digest, source, _, index, tokens in ranked:
        yield digest != previous, source, index, digest, tokens
        previous = digest
