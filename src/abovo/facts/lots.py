"""Draw lots by hash: the same parts give the same draw on every machine and in every order of work."""

from collections.abc import Sequence
from typing import TypeVar

import xxhash

T = TypeVar("T")


def number(*parts: object) -> int:
    """A 64-bit number that depends on nothing but the parts."""
    return xxhash.xxh3_64_intdigest("\x1f".join(map(str, parts)).encode())


def pick(items: Sequence[T], *parts: object) -> T:
    """One of the items (at least one), drawn by the hash of the parts."""
    return items[number(*parts) % len(items)]
