"""Turn (seed, k) into the rows of global batch k, whatever the machine, the micro-batch or the point of resuming.

Nothing is drawn in sequence and nothing is stored: which source a position draws from follows from a binary tree of
exact proportions, and the row within an epoch from a keyed permutation that is computed, not held.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache

ONE = 1 << 32


@dataclass(frozen=True)
class Phase:
    """A stretch of training: the weight of each source and its length in batches."""

    name: str
    weights: Mapping[str, float]
    batches: int


@dataclass(frozen=True)
class DataOrder:
    """The rows of every batch of a run. `rows` is the number of rows of each source, `batch` the rows of a batch."""

    phases: Sequence[Phase]
    rows: Mapping[str, int]
    batch: int
    seed: int

    def phase_of(self, k: int) -> int:
        """The index of the phase that batch k belongs to."""
        for number, phase in enumerate(self.phases):
            if k < phase.batches:
                return number
            k -= phase.batches
        raise IndexError("the run has no such batch")

    def rows_of(self, k: int) -> list[tuple[str, int]]:
        """(source, row) of each sequence of global batch k, in order."""
        number = self.phase_of(k)
        phase = self.phases[number]
        first = (k - sum(earlier.batches for earlier in self.phases[:number])) * self.batch
        names, weights = list(phase.weights), tuple(phase.weights.values())
        before = [self._drawn_before(name, number) for name in names]
        result = []
        for position in range(first, first + self.batch):
            source, index = locate(weights, position)
            result.append((names[source], self._row(names[source], index + before[source])))
        return result

    def drawn(self, number: int, batches: int | None = None) -> dict[str, int]:
        """How many rows of each of its sources a phase draws, or its first `batches` do, with repetition."""
        phase = self.phases[number]
        weights, length = tuple(phase.weights.values()), (phase.batches if batches is None else batches) * self.batch
        return {source: count(weights, place, length) for place, source in enumerate(phase.weights)}

    def drawn_in_all(self, batches: int) -> dict[str, int]:
        """How many rows of each source the first `batches` of all phases draw, with repetition."""
        found: dict[str, int] = {}
        for number, phase in enumerate(self.phases):
            for source, rows in self.drawn(number, min(batches, phase.batches)).items():
                found[source] = found.get(source, 0) + rows
            batches = max(0, batches - phase.batches)
        return found

    def _drawn_before(self, source: str, number: int) -> int:
        """How many rows of a source the earlier phases draw, so that a later phase goes on where they stopped."""
        return sum(self.drawn(earlier).get(source, 0) for earlier in range(number))

    def _row(self, source: str, index: int) -> int:
        epoch, position = divmod(index, self.rows[source])
        return permute(position, self.rows[source], f"{self.seed}/{source}/{epoch}")


def locate(weights: Sequence[float], position: int) -> tuple[int, int]:
    """The source that `position` of an endless mix draws from, and how often it was drawn before.

    Of the first n positions each source has its share of n to within one row per level of the tree: at a node whose
    left side has the share p, floor(n p) of the first n positions go left (Bresenham's line).
    """
    low, high, index = 0, len(weights), position
    while high - low > 1:
        middle = (low + high) // 2
        left = _share(tuple(weights), low, middle, high)
        before, after = index * left // ONE, (index + 1) * left // ONE
        if after > before:
            high, index = middle, before
        else:
            low, index = middle, index - before
    return low, index


def count(weights: Sequence[float], source: int, length: int) -> int:
    """How many of the first `length` positions draw from `source`."""
    low, high, total = 0, len(weights), length
    while high - low > 1:
        middle = (low + high) // 2
        left = total * _share(tuple(weights), low, middle, high) // ONE
        if source < middle:
            high, total = middle, left
        else:
            low, total = middle, total - left
    return total


@cache
def _share(weights: tuple[float, ...], low: int, middle: int, high: int) -> int:
    """The left side's share of a node in units of 2**-32, exact for the decimal weights of a configuration."""
    exact = [Fraction(str(weight)) for weight in weights[low:high]]
    return round(sum(exact[: middle - low]) / sum(exact) * ONE)


def permute(position: int, size: int, key: str) -> int:
    """Where `position` goes in the permutation of 0..size-1 that `key` names.

    A four-round Feistel network over the next even number of bits; results beyond `size` go through it again
    (cycle walking; Black and Rogaway 2002), which keeps the map one-to-one.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    value = position
    while True:
        left, right = value >> half, value & mask
        for word in _words(key):
            left, right = right, left ^ (_mix(right ^ word) & mask)
        value = left << half | right
        if value < size:
            return value


@lru_cache(64)
def _words(key: str) -> tuple[int, ...]:
    """The keys of the four rounds: a hash takes longer than all of them, and the rows of an epoch share it."""
    return struct.unpack("<4Q", hashlib.sha256(key.encode()).digest())


def _mix(value: int) -> int:
    """A 64-bit finalizer (splitmix64, Steele et al. 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return value ^ value >> 31
