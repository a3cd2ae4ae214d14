"""Turn text as it was found into text that a tokenizer gives back unchanged, with its paragraphs and lines kept.

`prose` loses runs of blanks inside its lines; `code` keeps every blank, since columns and indentation mean something.
"""

import re
import unicodedata
from collections.abc import Callable

# SentencePiece writes a blank as U+2581, so the character itself cannot survive it; it looks like a low line.
BLANK_MARK, REPLACEMENT = "\u2581", "_"

_ODD_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ud800-\udfff]")
_RUNS = re.compile(r"(?<=[^\s])[ \t]{2,}(?=[^\s])")
_TRAILING = re.compile(r"[ \t]+(?=\n)")
_GAPS = re.compile(r"\n{4,}")


def clean(text: str, kind: str) -> tuple[str, int]:
    """The cleaned text and how many U+2581 were replaced. Cleaning twice gives what cleaning once gives."""
    if not text.isascii() or "\r" in text or _CONTROLS.search(text) or "\v" in text or "\f" in text:
        text = _CONTROLS.sub("", _ODD_ENDS.sub("\n", text))
    replaced = text.count(BLANK_MARK)
    if replaced:
        text = text.replace(BLANK_MARK, REPLACEMENT)
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    text = KINDS[kind](text)
    if " \n" in text or "\t\n" in text:
        text = _TRAILING.sub("", text)
    if "\n\n\n\n" in text:
        text = _GAPS.sub("\n\n", text)
    return text.rstrip().lstrip("\n"), replaced


def _prose(text: str) -> str:
    return _RUNS.sub(" ", text) if "  " in text or "\t" in text else text


def _code(text: str) -> str:
    return text


KINDS: dict[str, Callable[[str], str]] = {"prose": _prose, "code": _code}
