"""Turn texts and their words into the figures that filters go by, most of them by whole-array operations."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from abovo.corpus.words import Words, rolled
from abovo.settings.thresholds import Thresholds


class Figures(NamedTuple):
    """What the filters know of a document: `text`, its language in the configuration, number of words, their mean
    length (characters), different words and words with a letter (shares), and whether a run of words comes back too
    often by one of the thresholds."""

    text: str
    language: str
    words: int
    mean_word_length: float
    unique_words: float
    alphabetic_words: float
    repeats_words: bool


def figures(texts: Sequence[str], words: Words, language: str, limits: Thresholds) -> list[Figures]:
    """What the filters need of each text, most of it from whole-array operations over the batch."""
    counts = words.counts
    least = np.maximum(counts, 1)
    letters = np.bincount(words.owner, words.alphabetic, len(texts)) / least
    keys = np.sort((words.owner.astype(np.uint64) << np.uint64(48)) | (words.hashes >> np.uint64(16)))
    new = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    owners = (keys[np.concatenate(([0], new))] >> np.uint64(48)).astype(np.int64) if len(keys) else new
    different = np.bincount(owners, minlength=len(texts)) / least
    inside = np.bincount(words.owner, words.lengths, len(texts))
    frequent, copied = _suspects(words, inside)
    found = []
    for number, text in enumerate(texts):
        count = int(counts[number])
        # Bytes of the words stand for characters, but for what the text has more bytes than characters.
        length = inside[number] / max(count, 1) / words.widths[number]
        repeats = (frequent[number] and _frequent_run(words, number, limits.max_top_ngrams)) or (
            copied[number] and _copied_runs(words, number, limits.max_repeated_ngrams)
        )
        found.append(
            Figures(text, language, count, length, float(different[number]), float(letters[number]), bool(repeats))
        )
    return found


# Shares of text below which no threshold of Gopher for runs of words can be reached: a run of ten words that comes
# back is made of runs of five that do, and a frequent run of four of two runs of two, one with half of its text.
_FIVES, _TWOS = 0.1, 0.08


def _suspects(words: Words, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which texts have to be looked at closely for one frequent run of words, and which for copies of long runs;
    `inside` is the text in words (bytes)."""
    frequent, least = np.zeros(len(inside), bool), np.maximum(inside, 1)
    owners, counts, lengths = _repeated(words, 5)
    copied = np.bincount(owners, (counts - 1) * lengths, len(inside)) >= _FIVES * least
    owners, counts, lengths = _repeated(words, 2)
    frequent[owners[counts * lengths >= _TWOS * least[owners]]] = True
    return frequent, copied


def _repeated(words: Words, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(text, how often, length in bytes) of the runs of `size` words that a text holds more than once."""
    grams, starts = words.grams(size)
    sums = np.concatenate(([0], np.cumsum(words.lengths)))
    length = np.minimum(sums[starts + size] - sums[starts], 4095).astype(np.uint64)
    # 12 bits of the text's number, 40 of the hash, 12 of the length: one plain sort brings equals together.
    keys = (words.owner[starts].astype(np.uint64) << np.uint64(52)) | (grams >> np.uint64(24) << np.uint64(12)) | length
    keys.sort()
    edges = np.concatenate(([0], np.flatnonzero(keys[1:] != keys[:-1]) + 1, [len(keys)]))
    counts = np.diff(edges)
    often = np.flatnonzero(counts > 1)
    kinds = keys[edges[often]]
    return (kinds >> np.uint64(52)).astype(np.int64), counts[often], (kinds & np.uint64(4095)).astype(np.int64)


def _frequent_run(words: Words, text: int, limits: Sequence[float]) -> bool:
    """Whether the most frequent run of 2, 3 or 4 words is too much of a text."""
    hashes, lengths = words.hashes[words.of(text)], words.lengths[words.of(text)]
    sums = np.concatenate(([0], np.cumsum(lengths)))
    for size, limit in zip((2, 3, 4), limits, strict=True):
        grams = rolled(hashes, size)
        if len(grams):
            _, first, counts = np.unique(grams, return_index=True, return_counts=True)
            length = (sums[first + size] - sums[first]) * counts
            if length[counts > 1].max(initial=0) > limit * sums[-1]:
                return True
    return False


def _copied_runs(words: Words, text: int, limits: Sequence[float]) -> bool:
    """Whether all later copies of runs of 5, 6, ... 10 words are too much of a text."""
    hashes, lengths = words.hashes[words.of(text)], words.lengths[words.of(text)]
    whole = int(lengths.sum())
    for size, limit in zip(range(5, 11), limits, strict=True):
        grams = rolled(hashes, size)
        again = np.ones(len(grams), bool)
        again[np.unique(grams, return_index=True)[1]] = False
        covered = np.zeros(len(hashes), bool)
        for shift in range(size if again.any() else 0):
            covered[shift : shift + len(again)] |= again
        copied = lengths[covered].sum()
        if copied > limit * whole:
            return True
        # Copies of longer runs lie within those of shorter ones.
        if copied <= min(limits) * whole:
            return False
    return False
