"""Turn text into a Unicode normal form in linear time, and into the form in which texts are compared."""

import functools
import unicodedata
from typing import NamedTuple

import numpy as np

# What no reader sees, first and last code points: the characters that Unicode calls default ignorable (soft hyphen,
# joiners, directions, variation selectors, fillers, zero-width blanks, byte order mark, tags) and annotation anchors.
INVISIBLE = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
# Marks in a row that are put in order here, since Python's own ordering takes the square of their number. No script
# writes as many upon one letter (Unicode's stream-safe format allows 30).
MANY = 31
_UNSEEN, _MARK, _SINGLE, _SEVERAL = 1, 2, 4, 8
# Beyond this code point nothing is a mark or has another form.
_END = 0x2FA1E
# Different characters of a text that are replaced one by one by several others.
_FEW = 8


class _Characters(NamedTuple):
    """By code point: `kinds` (uint8) as bits, and the one character (uint32) that a _SINGLE one is compared as;
    a _SEVERAL one is compared as more than one."""

    kinds: np.ndarray
    single: np.ndarray


def comparable(text: str) -> str:
    """The text as it is compared with others: NFKC, without characters that nobody sees.

    Texts that differ in soft hyphens, joiners, directions, presentation or the width of letters alone are equal then.
    """
    if text.isascii():
        return text
    codes, kinds = _coded(text)
    places = np.flatnonzero(kinds != 0)
    if len(places):
        own, codes = kinds[places], codes.copy()
        single, several = (places[(own & kind) != 0] for kind in (_SINGLE, _SEVERAL))
        codes[single] = _characters().single[codes[single]]
        signs = np.unique(codes[several]).tolist()
        unseen = places[own == _UNSEEN]
        if len(unseen):
            codes, kinds = np.delete(codes, unseen), np.delete(kinds, unseen)
        text = _in_order(codes, kinds)
        # Little is left to do then, and normalizing takes ten times as long as finding that there is nothing.
        for sign in map(chr, signs if len(signs) <= _FEW else ()):
            text = text.replace(sign, unicodedata.normalize("NFKD", sign))
    return text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)


def composed(text: str) -> str:
    """NFC of a text, in linear time however many marks stand in a row."""
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    return unicodedata.normalize("NFC", _in_order(*_coded(text)))


def _coded(text: str) -> tuple[np.ndarray, np.ndarray]:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    return codes, _characters().kinds.take(codes)


def _in_order(codes: np.ndarray, kinds: np.ndarray) -> str:
    """The text of code points, with long runs of marks taken apart and in canonical order."""
    text = codes.tobytes().decode("utf-32-le", "surrogatepass")
    found = (kinds & _MARK) != 0
    if np.count_nonzero(found) < MANY:
        return text
    marks = np.concatenate(([False], found, [False]))
    edges = np.flatnonzero(marks[1:] != marks[:-1]).reshape(-1, 2)
    edges = edges[edges[:, 1] - edges[:, 0] >= MANY]
    if not len(edges):
        return text
    pieces, last = [], 0
    for first, end in edges.tolist():
        run = text[first:end]
        apart = run.translate({ord(mark): unicodedata.normalize("NFD", mark) for mark in set(run)})
        pieces += [text[last:first], *sorted(apart, key=unicodedata.combining)]
        last = end
    return "".join((*pieces, text[last:]))


@functools.cache
def _characters() -> _Characters:
    kinds, single = np.zeros(0x110000, np.uint8), np.zeros(0x110000, np.uint32)
    for code in range(0x80, _END):
        sign = chr(code)
        apart = sign
        if how := unicodedata.decomposition(sign):
            apart = unicodedata.normalize("NFKD", sign)
            if len(apart) == 1:
                kinds[code], single[code] = _SINGLE, ord(apart)
            elif how.startswith("<"):
                kinds[code] = _SEVERAL
        if unicodedata.combining(apart[0]):
            kinds[code] |= _MARK
    for first, last in INVISIBLE:
        kinds[first : last + 1] = _UNSEEN
    return _Characters(kinds, single)
