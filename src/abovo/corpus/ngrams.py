"""Turn a text into the hashes of its n-grams of normalised words, by numpy operations over whole stretches of bytes.

Words are runs of letters and digits in lower case, of the text in the form in which texts are compared; everything else
separates them, so neither punctuation nor line ends nor the blanks that some sets put around hyphens and commas keep
two equal passages apart.
"""

import functools

import numpy as np

from abovo.corpus.characters import comparable

# Polynomial hash modulo 2**64; the base is odd, so that its powers can be divided by.
BASE = 0x9E3779B97F4A7C15 | 1
INVERSE = pow(BASE, -1, 1 << 64)
BLANK = 0x20
# Words that are hashed at a time, and the bytes of a word that count: together they bound the memory.
WORDS_AT_ONCE, LONGEST_WORD = 4096, 256

_TABLE = bytes(
    byte | 0x20 if 0x41 <= byte <= 0x5A else byte if chr(byte).isalnum() or byte >= 0x80 else BLANK
    for byte in range(256)
)


class PlainWords:
    """The words of a text: `bytes` holds them with one blank after each; word i is bytes[starts[i]:ends[i]]."""

    def __init__(self, text: str) -> None:
        text = comparable(text)
        ascii_only = text.isascii()
        data = (text if ascii_only else text.lower()).encode("utf-8", "ignore")
        mapped = np.frombuffer(data.translate(_TABLE), np.uint8)
        if not ascii_only:
            mapped = _without_symbols(mapped)
        letters = mapped != BLANK
        # A separator is kept where it follows a letter, and one is added at the end.
        keep = letters.copy()
        keep[1:] |= letters[:-1]
        self.raw, self.kept = np.frombuffer(data, np.uint8), keep
        self.bytes = mapped[keep]
        if self.bytes.size and self.bytes[-1] != BLANK:
            self.bytes = np.append(self.bytes, np.uint8(BLANK))
        self._bound()
        self._places: np.ndarray | None = None

    def _bound(self) -> None:
        self.ends = np.flatnonzero(self.bytes == BLANK)
        self.starts = np.empty_like(self.ends)
        if self.ends.size:
            self.starts[0] = 0
            self.starts[1:] = self.ends[:-1] + 1
        lengths = self.ends - self.starts
        if lengths.size and int(lengths.max()) > LONGEST_WORD:
            place = np.arange(self.bytes.size) - np.repeat(self.starts, lengths + 1)
            counts = (place < LONGEST_WORD) | (self.bytes == BLANK)
            where = np.flatnonzero(self.kept)
            self.kept = self.kept.copy()
            self.kept[where[~counts[: where.size]]] = False
            self.bytes = self.bytes[counts]
            self._bound()

    def hashes(self, size: int) -> np.ndarray:
        """One uint64 for each n-gram of `size` words, in order; empty for a shorter text."""
        number = self.ends.size - size + 1
        if number <= 0:
            return np.empty(0, np.uint64)
        found = np.empty(number, np.uint64)
        powers, inverses = _powers((WORDS_AT_ONCE + size) * (LONGEST_WORD + 1))
        for first in range(0, number, WORDS_AT_ONCE):
            last = min(first + WORDS_AT_ONCE, number)
            begin, end = int(self.starts[first]), int(self.ends[last + size - 2])
            sums = np.empty(end - begin + 1, np.uint64)
            sums[0] = 0
            np.cumsum(self.bytes[begin:end] * powers[: end - begin], out=sums[1:])
            starts = self.starts[first:last] - begin
            ends = self.ends[first + size - 1 : last + size - 1] - begin
            found[first:last] = (sums[ends] - sums[starts]) * inverses[starts]
        return found

    def ngram(self, first: int, size: int) -> str:
        """The words of the n-gram that begins with word `first`."""
        return self.bytes[self.starts[first] : self.ends[first + size - 1]].tobytes().decode("utf-8", "replace")

    def lines(self, firsts: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the lines of the text in which n-grams begin and end, counted from 0."""
        places = np.flatnonzero(self.kept)
        breaks = np.flatnonzero(self.raw == 0x0A)
        begin, end = places[self.starts[firsts]], places[self.ends[firsts + size - 1] - 1]
        return np.searchsorted(breaks, begin), np.searchsorted(breaks, end)


def _without_symbols(data: np.ndarray) -> np.ndarray:
    """Blanks in place of U+0080-U+00BF, U+2000-U+2FFF and U+3000-U+303F: quotes, dashes, blanks, symbols."""
    data = data.copy()
    data[1:][data[:-1] == 0xC2] = BLANK
    data[data == 0xC2] = BLANK
    found = np.flatnonzero(data == 0xE3)
    found = found[data[found + 1] == 0x80]
    for first in (np.flatnonzero(data == 0xE2), found):
        for place in (first, first + 1, first + 2):
            data[place] = BLANK
    return data


@functools.cache
def _powers(number: int) -> tuple[np.ndarray, np.ndarray]:
    """The first powers of the base and of its inverse."""
    both = []
    for factor in (BASE, INVERSE):
        steps = np.full(number, factor, np.uint64)
        steps[0] = 1
        both.append(np.cumprod(steps, dtype=np.uint64))
    return both[0], both[1]
