"""Decide which documents are text worth keeping: the table of filters, with the figures of Gopher as defaults.

The figures are those of Rae et al. 2021, arXiv:2112.11446, appendix A1.1; they are the defaults of a corpus'
`thresholds`. A document is refused for the first filter that it does not pass, in the order of the table.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from abovo.corpus.language import is_language
from abovo.corpus.words import Words, rolled

Thresholds = Mapping[str, Any]


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


def _language(document: Figures, limits: Thresholds) -> bool:
    return is_language(document.text, document.language, limits["language_score"])


def _words(document: Figures, limits: Thresholds) -> bool:
    return limits["min_words"] <= document.words <= limits["max_words"]


def _word_length(document: Figures, limits: Thresholds) -> bool:
    return limits["min_mean_word_length"] <= document.mean_word_length <= limits["max_mean_word_length"]


def _alphabetic(document: Figures, limits: Thresholds) -> bool:
    return document.alphabetic_words >= limits["min_alphabetic_words"]


_NO_LETTERS = bytes(byte for byte in range(128) if not (chr(byte).isalpha() or chr(byte).isspace()))


def _letters(document: Figures, limits: Thresholds) -> bool:
    """Letters, the marks upon them, and blanks, as share of all characters."""
    text = document.text
    kept = text.encode().translate(None, _NO_LETTERS)
    number = len(kept)
    if not text.isascii():
        letters = kept.decode()
        strange = [sign for sign in set(letters) if unicodedata.category(sign)[0] not in "LMZ" and not sign.isspace()]
        number = len(letters) - sum(map(letters.count, strange))
    return number >= limits["min_letters"] * len(text)


def _unique_words(document: Figures, limits: Thresholds) -> bool:
    return document.unique_words >= limits["min_unique_words"]


def _symbols(document: Figures, limits: Thresholds) -> bool:
    text = document.text
    found = text.count("#") + text.count("...") + text.count("\u2026")
    return found <= limits["max_symbols"] * document.words


_STOP_WORDS = tuple(f" {word} " for word in ("the", "be", "to", "of", "and", "that", "have", "with"))


def _stop_words(document: Figures, limits: Thresholds) -> bool:
    """English prose has at least some of the eight words; other languages are not asked."""
    if not document.language.startswith("en"):
        return True
    wanted = limits["min_stop_words"]
    for word in _STOP_WORDS:
        if wanted <= 0:
            break
        wanted -= word in document.text
    return wanted <= 0


_BULLETS = ("•", "-", "*", "‣", "◦", "·", "–")


def _line_marks(document: Figures, limits: Thresholds) -> bool:
    text = document.text
    bullets = ellipses = 0
    # Most texts show at a glance that no line begins or ends with a mark.
    if text.startswith((*_BULLETS, " ")) or "\n " in text or any(f"\n{bullet}" in text for bullet in _BULLETS):
        bullets = sum(line.lstrip().startswith(_BULLETS) for line in _lines(text))
    if "..." in text or "…" in text:
        ellipses = sum(line.endswith(("...", "…")) for line in _lines(text))
    number = len(_lines(text)) if bullets or ellipses else 0
    return bullets <= limits["max_bullet_lines"] * number and ellipses <= limits["max_ellipsis_lines"] * number


def _lines(text: str) -> list[str]:
    """The lines that hold something; cleaning has left no blanks alone on one."""
    return list(filter(None, text.split("\n")))


def _repeated_lines(document: Figures, limits: Thresholds) -> bool:
    """Equal lines, and equal paragraphs, as share of their number and of the text."""
    text = document.text
    if "\n" not in text:
        return True
    for parts, name in ((_lines(text), "lines"), (text.split("\n\n") if "\n\n" in text else [], "paragraphs")):
        again = len(parts) - len(set(parts))
        if again > limits[f"max_repeated_{name}"] * len(parts):
            return False
        if again:
            characters = sum(map(len, parts)) - sum(map(len, set(parts)))
            if characters > limits[f"max_repeated_{name}_text"] * len(text):
                return False
    return True


def _repeated_words(document: Figures, limits: Thresholds) -> bool:
    return not document.repeats_words


# name, also the reason of a rejection -> whether a document passes
FILTERS: dict[str, Callable[[Figures, Thresholds], bool]] = {
    "words": _words,
    "word_length": _word_length,
    "symbols": _symbols,
    "line_marks": _line_marks,
    "alphabetic": _alphabetic,
    "letters": _letters,
    "stop_words": _stop_words,
    "unique_words": _unique_words,
    "repeated_lines": _repeated_lines,
    "repeated_words": _repeated_words,
    "language": _language,
}
# Names that stand for several filters in a configuration. Gopher looks at words with a letter, not at letters, and has
# no limit on different words and no language.
GROUPS: dict[str, tuple[str, ...]] = {
    "gopher": tuple(name for name in FILTERS if name not in ("letters", "unique_words", "language")),
    "all": tuple(FILTERS),
}


def chosen(names: Iterable[str]) -> list[str]:
    """The filters that a source names, groups resolved, in the table's order."""
    wanted = {name for given in names for name in GROUPS.get(given, (given,))}
    return [name for name in FILTERS if name in wanted]


def refusals(texts: Sequence[str], words: Words, names: Sequence[str], language: str, limits: Thresholds) -> list[str]:
    """For each text the name of the first filter that refuses it, "" where all pass."""
    return [
        next((name for name in names if not FILTERS[name](document, limits)), "")
        for document in figures(texts, words, language, limits)
    ]


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
        length = inside[number] / max(count, 1)
        if not text.isascii():
            length *= len(text) / max(1, len(text.encode()))
        repeats = (frequent[number] and _frequent_run(words, number, limits["max_top_ngrams"])) or (
            copied[number] and _copied_runs(words, number, limits["max_repeated_ngrams"])
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
