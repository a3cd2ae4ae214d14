"""Turn text as it was found into text that a tokenizer gives back unchanged, with its paragraphs and lines kept.

`prose` loses runs of blanks inside its lines; `code` keeps every blank, since columns and indentation mean something.
"""

import re
import unicodedata
from collections.abc import Callable

# SentencePiece writes a blank as U+2581, so the character itself cannot survive it; it looks like a low line.
BLANK_MARK, REPLACEMENT = "\u2581", "_"

# Every line end that is not a newline, and the characters that go without a trace. All of this is done by whole-text
# operations on bytes and strings, which are several times faster than one regular expression.
_ODD_ENDS = ("\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029")
_CONTROL_BYTES = bytes({*range(0x20), 0x7F} - {0x09, 0x0A})
_LATIN_CONTROLS = re.compile("[\x80-\x9f]")
_BYTE_ORDER_MARK = "\ufeff"
_RUNS = re.compile(r"(?<=[^\s])[ \t]{2,}(?=[^\s])")
_TRAILING = re.compile(r"[ \t]+(?=\n)")
_GAPS = re.compile(r"\n{4,}")


def clean(text: str, kind: str) -> tuple[str, int]:
    """The cleaned text and how many U+2581 were replaced. Cleaning twice gives what cleaning once gives."""
    for end in _ODD_ENDS:
        if end in text:
            text = text.replace(end, "\n")
    text = _without_controls(text)
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


def _without_controls(text: str) -> str:
    """Without control characters, lone surrogates and byte order marks; newlines and tabs stay."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = text.encode("utf-8", "ignore")
        text = data.decode()
    bare = data.translate(None, _CONTROL_BYTES)
    if len(bare) != len(data):
        text = bare.decode()
    if b"\xc2" in bare:
        text = _LATIN_CONTROLS.sub("", text)
    return text.replace(_BYTE_ORDER_MARK, "")


def _prose(text: str) -> str:
    return _RUNS.sub(" ", text) if "  " in text or "\t" in text else text


def _code(text: str) -> str:
    return text


KINDS: dict[str, Callable[[str], str]] = {"prose": _prose, "code": _code}
