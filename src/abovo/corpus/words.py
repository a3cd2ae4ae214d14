"""Turn a batch of texts into arrays: where each word stands, a hash of each word, and to which text it belongs.

A word is what stands between blanks, in lower case (ASCII); texts come in the form in which they are compared. One pass
of whole-array operations over a megabyte of text takes about as long as splitting a tenth of it into Python strings.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

# Texts are measured by their first bytes, so that one enormous document cannot fill the memory.
LONGEST = 1 << 20
_U64 = np.uint64
_BASE = 0x9E3779B97F4A7C15 | 1
_ALPHABETIC = np.zeros(256, np.uint8)
_ALPHABETIC[[*range(ord("a"), ord("z") + 1), *range(0x80, 0x100)]] = 1


@dataclass(frozen=True)
class Words:
    """The words of a batch: `hashes`, `lengths` (bytes), `alphabetic` and `owner` (number of the text) per word; the
    words of text t are first[t] to first[t + 1], its characters have widths[t] bytes in the mean."""

    hashes: np.ndarray
    lengths: np.ndarray
    alphabetic: np.ndarray
    owner: np.ndarray
    first: np.ndarray
    widths: list[float]
    known: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def counts(self) -> np.ndarray:
        return np.diff(self.first)

    def of(self, text: int) -> slice:
        return slice(int(self.first[text]), int(self.first[text + 1]))

    def grams(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of all runs of `size` words inside one text, and the number of the word that each starts with."""
        number = len(self.hashes) - size + 1
        if number <= 0:
            return np.zeros(0, _U64), np.zeros(0, np.int64)
        if size not in self.known:
            inside = np.flatnonzero(self.owner[:number] == self.owner[size - 1 :])
            self.known[size] = rolled(self.hashes, size)[inside], inside
        return self.known[size]


def rolled(hashes: np.ndarray, size: int) -> np.ndarray:
    """One hash for each run of `size` hashes, which are random enough for a sum of odd multiples of them to be."""
    number = len(hashes) - size + 1
    total = np.zeros(max(number, 0), _U64)
    for place in range(size if number > 0 else 0):
        total += hashes[place : place + number] * _U64(pow(_BASE, 2 * place + 1, 1 << 64))
    return total


def mixed(values: np.ndarray) -> np.ndarray:
    """Spread the differences of 64-bit values over all their bits (the finalizer of splitmix64)."""
    values = (values ^ (values >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> _U64(27))) * _U64(0x94D049BB133111EB)
    return values ^ (values >> _U64(31))


def words_of(texts: Sequence[bytes]) -> Words:
    """The words of UTF-8 texts. A word's hash is a polynomial over its bytes, taken from one running sum."""
    cut = [text[:LONGEST] for text in texts]
    data = np.frombuffer(b"\n" + b"\n".join(cut).lower() + b"\n", np.uint8)
    offsets = np.cumsum([1, *(len(text) + 1 for text in cut)])
    word = data > 32
    edges = np.flatnonzero(word[1:] != word[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    powers, inverses = _powers(1 << len(data).bit_length())
    sums = data * powers[: len(data)]
    np.cumsum(sums, out=sums)
    hashes = mixed((sums[ends - 1] - sums[starts - 1]) * inverses[starts])
    first = np.searchsorted(starts, offsets)
    alphabetic = _ALPHABETIC[data[starts]].astype(bool)
    # Nearly all words begin with a letter; only the others are looked through.
    others = np.flatnonzero(~alphabetic)
    if len(others):
        spans = np.stack((starts[others], ends[others]), 1).ravel()
        alphabetic[others] = np.bitwise_or.reduceat(_ALPHABETIC[data], spans)[::2].astype(bool)
    owner = np.repeat(np.arange(len(cut)), np.diff(first))
    return Words(hashes, ends - starts, alphabetic, owner, first, [_width(text) for text in cut])


def _width(text: bytes) -> float:
    return 1.0 if text.isascii() else len(text) / max(1, len(text.decode("utf-8", "ignore")))


@functools.lru_cache(2)
def _powers(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The powers of the polynomial's base, and of its inverse modulo 2**64."""
    made = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        powers = np.full(size, base, _U64)
        powers[0] = 1
        made.append(np.multiply.accumulate(powers))
    return made[0], made[1]
