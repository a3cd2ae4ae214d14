"""Turn the n-grams of rows into an index that says, of the n-grams of a document, which rows have them too."""

from collections.abc import Sequence

import numpy as np

# Bits of the filter per n-gram, and the most bits that it may have (16 MB).
FILTER_BITS, MOST_FILTER_BITS = 32, 27


def in_order(hashes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What an index is made of: the hashes of all rows, of which each has its own (different ones), in order, and the
    number of the row beside each (uint64, uint32)."""
    numbers = [np.full(own.size, number, np.uint32) for number, own in enumerate(hashes)]
    both = np.concatenate([np.zeros(0, np.uint64), *hashes])
    rows = np.concatenate([np.zeros(0, np.uint32), *numbers])
    order = np.lexsort((rows, both))
    return both[order], rows[order]


class NgramIndex:
    """The hashes of n-grams in order, and the row of each: 12 bytes per n-gram, and a filter of 4 in front."""

    def __init__(self, hashes: np.ndarray, rows: np.ndarray) -> None:
        self.hashes, self.rows = hashes, rows
        bits = min(MOST_FILTER_BITS, max(16, int(hashes.size * FILTER_BITS).bit_length()))
        self.shift = np.uint64(64 - bits)
        self.filter = np.zeros(1 << (bits - 3), np.uint8)
        places = hashes >> self.shift
        np.bitwise_or.at(self.filter, places >> np.uint64(3), _bit(places))

    def found(self, hashes: np.ndarray) -> np.ndarray:
        """Places of the hashes that the index holds: a filter first, which lets one in thirty-two of others pass."""
        places = hashes >> self.shift
        maybe = np.flatnonzero(self.filter[places >> np.uint64(3)] & _bit(places))
        if not maybe.size:
            return maybe
        asked = hashes[maybe]
        at = np.minimum(np.searchsorted(self.hashes, asked), self.hashes.size - 1)
        return maybe[self.hashes[at] == asked]

    def holders(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(place among the hashes, row) of each row that has one of these different hashes, all of which are held."""
        begins, ends = (np.searchsorted(self.hashes, hashes, side) for side in ("left", "right"))
        rows = np.concatenate([self.rows[i:j] for i, j in zip(begins, ends, strict=True)])
        return np.repeat(np.arange(hashes.size), ends - begins), rows


def _bit(places: np.ndarray) -> np.ndarray:
    return np.left_shift(np.uint8(1), (places & np.uint64(7)).astype(np.uint8))
