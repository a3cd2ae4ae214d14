"""Turn text as it was found into text that a tokenizer gives back unchanged, with its paragraphs and lines kept.

`prose` loses runs of blanks inside its lines; `code`, which is text with examples and tables in it, keeps them, since
columns and indentation mean something. `verbatim` is for files of source code: line ends become newlines, and all else
stays, blanks at line ends, blank lines, the last newline, form feeds and decomposed letters too. What goes
beyond that (mojibake, addresses, runs of marks, the frame of Project Gutenberg) is a source's `cleaning`.
"""

import re
import string
from collections.abc import Callable
from typing import Any

import numpy as np

from abovo.corpus.characters import composed
from abovo.settings.corpus import Cleaning

# SentencePiece writes a blank as U+2581, so the character itself cannot survive it; it looks like a low line.
BLANK_MARK, REPLACEMENT = "\u2581", "_"

# Every line end that is not a newline, and the characters that go without a trace. All of this is done by whole-text
# operations on bytes and strings, which are several times faster than one regular expression.
_RARE_ENDS = ("\x85", "\u2028", "\u2029")
_CONTROL_BYTES = bytes({*range(0x20), 0x7F} - {0x09, 0x0A})
_LATIN_CONTROLS = re.compile("[\x80-\x9f]")
_LATIN_CONTROL_BYTES = re.compile(b"\xc2[\x80-\x9f]")
# Soft hyphen, zero-width blank, word joiner and byte order mark say where a line may break, which no reader sees and
# which cuts words apart. Joiners and directions stay: Persian, Indic scripts and emoji are written with them.
_BREAKS = ("\u00ad", "\u200b", "\u2060", "\ufeff")
# Runs of blanks, without tabs and with them. A pattern that begins with fixed characters is found several times faster
# than one that looks behind itself; one that always takes the whole run is not tried again from within it.
_BLANKS, _BLANKS_AND_TABS = re.compile(r"  ++"), re.compile(r"[ \t][ \t]++")
_GAPS = re.compile(r"\n{4,}")


def clean(text: str, kind: str, cleaning: Cleaning | None = None) -> tuple[str, int]:
    """The cleaned text and how many U+2581 were replaced. Cleaning twice gives what cleaning once gives."""
    if cleaning and cleaning.repair_encoding:
        text = _repair(text)
    first, last = KINDS[kind]
    text = first(text)
    if cleaning:
        for name, step in STEPS.items():
            if value := getattr(cleaning, name):
                text = step(text, value)
    replaced = text.count(BLANK_MARK)
    if replaced:
        text = text.replace(BLANK_MARK, REPLACEMENT)
    return last(text), replaced


def _with_newlines(text: str) -> str:
    """Without carriage returns and lone surrogates."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else text.encode("utf-8", "ignore").decode()


def _unchanged(text: str) -> str:
    """The text, unless nothing but blanks is in it."""
    return text if text.strip() else ""


def _without_controls(text: str) -> str:
    """Newlines as the only line ends, without control characters, lone surrogates and invisible places for breaks."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    plain = text.isascii()
    for end in ("\v", "\f") if plain else ("\v", "\f", *_RARE_ENDS):
        if end in text:
            text = text.replace(end, "\n")
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = text.encode("utf-8", "ignore")
        text = data.decode()
    bare = data.translate(None, _CONTROL_BYTES)
    if len(bare) != len(data):
        text = bare.decode()
    if plain:
        return text
    if _LATIN_CONTROL_BYTES.search(bare):
        text = _LATIN_CONTROLS.sub("", text)
    for sign in _BREAKS:
        text = text.replace(sign, "")
    return text


def _without_trailing(text: str) -> str:
    """Without blanks at the ends of lines. Most are single, which replacing takes away ten times faster."""
    for _ in range(3):
        if " \n" not in text and "\t\n" not in text:
            return text
        text = text.replace(" \n", "\n").replace("\t\n", "\n")
    return "\n".join([line.rstrip(" \t") for line in text.split("\n")])


def _prose(text: str) -> str:
    tabs = "\t" in text
    if not tabs and "  " not in text:
        return text

    def one(match: re.Match[str]) -> str:
        place, end = match.span()
        inside = place and end < len(text) and not (text[place - 1].isspace() or text[end].isspace())
        return " " if inside else match[0]

    return (_BLANKS_AND_TABS if tabs else _BLANKS).sub(one, text)


def _tidy(text: str) -> str:
    """Without blanks at the ends of lines, and with at most two blank lines in a row and none at either end."""
    text = _without_trailing(text)
    if "\n\n\n\n" in text:
        text = _GAPS.sub("\n\n", text)
    return text.rstrip().lstrip("\n")


# kind -> what is done to a text before and after what a source's `cleaning` asks for
KINDS: dict[str, tuple[Callable[[str], str], Callable[[str], str]]] = {
    "prose": (_without_controls, lambda text: _tidy(_prose(composed(text)))),
    "code": (_without_controls, lambda text: _tidy(composed(text))),
    "verbatim": (_with_newlines, _unchanged),
}

# What a source's `cleaning` asks for. Each step looks for a sign of its work first, since most texts show none.

# UTF-8 that was read as Latin-1 or Windows-1252: its first bytes, as the letters that they turned into, and a
# character that its next byte turned into. The letters alone, which are rare, are looked for first.
_SUSPICIOUS = ("Ã", "Â", "â€", "â\x80", "ðŸ", "Ð", "Ñ")
_MOJIBAKE = re.compile(
    "Ã[\x80-\xbf\u0152-\u02dc\u2013-\u2122]|Â[\xa0-\xbf]|â[€\x80]|ðŸ|[ÐÑ][\x80-\xbf\u0152-\u2122][ÐÑ]"
)


def _repair(text: str) -> str:
    """ftfy's repair of wrong encodings alone: quotes, ligatures and guillemets stay what they are.

    It comes before everything else, since a soft hyphen or a control character is what the second byte of many a letter
    turned into.
    """
    if text.isascii() or not any(sign in text for sign in _SUSPICIOUS) or not _MOJIBAKE.search(text):
        return text
    import ftfy

    return ftfy.fix_encoding(text)


_START = re.compile(r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG EBOOK", re.IGNORECASE)
_SMALL_PRINT = re.compile(r"\*END\*? ?THE SMALL PRINT!")
_END = re.compile(
    r"\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG EBOOK|\nEnd of (?:the |this )?Project Gutenberg", re.IGNORECASE
)
_CREDITS = re.compile(r"\s*+(?:E-text prepared|Produced|Transcribed|This etext was)[^\n]*+\n(?:[^\n]++\n)*+\s*+")


def _gutenberg(text: str, _: bool) -> str:
    """The book without Project Gutenberg's header and licence."""
    if "gutenberg" not in text[:20_000].lower() and "gutenberg" not in text[-40_000:].lower():
        return text
    body = text[_line_end(_START, text) or _line_end(_SMALL_PRINT, text) :]
    first = body.find("\n")
    end = _END.search(body, first) if first >= 0 else None
    if end:
        body = body[: body.rfind("\n", 0, end.start() + 1)]
    body = body.lstrip("\n")
    credits = _CREDITS.match(body)
    return body[credits.end() :] if credits else body


def _line_end(sign: re.Pattern[str], text: str) -> int:
    """Where the first line with a sign ends, 0 where there is none or it is the last."""
    found = sign.search(text)
    return text.find("\n", found.end()) + 1 if found else 0


_ADDRESS = re.compile(r"://[^\s<>\"'\])}]*")
_BARE_ADDRESS = re.compile(r"www\.[^\s<>\"'\])}]+")
_SCHEMES = ("https", "http", "ftp")


def _urls(text: str, _: bool) -> str:
    if "://" in text:
        kept, last = [], 0
        for match in _ADDRESS.finditer(text):
            start = match.start()
            head = text[max(0, start - 5) : start].lower()
            scheme = next((scheme for scheme in _SCHEMES if head.endswith(scheme)), "")
            if scheme:
                kept.append(text[last : max(last, start - len(scheme))])
                last = match.end()
        text = "".join((*kept, text[last:]))
    if "www." in text:
        whole = text

        def gone(match: re.Match[str]) -> str:
            before = whole[match.start() - 1] if match.start() else " "
            return match[0] if before.isalnum() or before in "._@/" else ""

        text = _BARE_ADDRESS.sub(gone, whole)
    return text


# What stands before the sign of an address is looked for backwards from it: no character is tried twice.
_MAILBOX = string.ascii_letters + string.digits + "._%+-"
_HOST = re.compile(r"@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)*\.[A-Za-z]{2,}")


def _emails(text: str, _: bool) -> str:
    if "@" not in text:
        return text
    kept, last, first = [], 0, 0
    for match in _HOST.finditer(text):
        sign, end = match.span()
        before = text[first:sign]
        mailbox = sign - len(before) + len(before.rstrip(_MAILBOX))
        first = sign + 1
        if mailbox < sign:
            kept.append(text[last:mailbox])
            first = last = end
    return "".join((*kept, text[last:]))


_MARKS = "!?.,;:*#~=_-+<>|^$%&/\\"
_IS_MARK = np.zeros(256, bool)
_IS_MARK[list(_MARKS.encode())] = True


def _mark_runs(text: str, longest: int) -> str:
    """At most `longest` times the same mark in a row."""
    data = np.frombuffer(text.encode(), np.uint8)
    runs, length = data[1:] == data[:-1], 1
    while length < longest:
        step = min(length, longest - length)
        runs, length = runs[:-step] & runs[step:], length + step
    for byte in np.unique(data[np.flatnonzero(runs)]).tolist():
        if _IS_MARK[byte]:
            mark = chr(byte)
            kept = (mark * longest).replace("\\", "\\\\")
            text = re.sub(re.escape(mark * (longest + 1)) + f"{re.escape(mark)}*+", kept, text)
    return text


# key of `cleaning` -> (text, its value) -> text; a value of false, 0 or null leaves the step out
STEPS: dict[str, Callable[[str, Any], str]] = {
    "strip_gutenberg": _gutenberg,
    "remove_urls": _urls,
    "remove_emails": _emails,
    "longest_mark_run": _mark_runs,
}
