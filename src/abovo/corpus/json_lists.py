"""Cut a file that is one JSON list into the bytes of its elements, in bounded memory."""

import re
from collections.abc import Iterator
from typing import IO

from abovo.errors import AbovoError

CHUNK = 1 << 18
# What decides where an element ends: outside of strings, and within one.
MARK, WITHIN = re.compile(rb'["{}\[\],]'), re.compile(rb'["\\]')
QUOTE, BACKSLASH = b'"\\'
BLANKS = b" \t\r\n"


def elements(file: IO[bytes], largest: int, where: str) -> Iterator[bytes | None]:
    """The elements of the list, as bytes that are not looked into; None for one of more than `largest` bytes.

    Raises EOFError where the end of the list is missing, and AbovoError where more than the list is there.
    """
    element, depth, quoted, place, first = _Element(largest), 0, False, 0, True
    while chunk := file.read(CHUNK):
        begin = 0
        while match := (WITHIN if quoted else MARK).search(chunk, place):
            place = match.end()
            sign = chunk[place - 1]
            if sign == BACKSLASH:
                place += 1
            elif sign == QUOTE:
                quoted = not quoted
            elif sign in b"[{":
                depth += 1
                begin = place if depth == 1 else begin
            elif sign == ord(",") and depth == 1:
                element.add(chunk[begin : place - 1])
                yield element.done()
                begin, first = place, False
            elif sign in b"]}":
                depth -= 1
                if depth == 0:
                    element.add(chunk[begin : place - 1])
                    if not first or not element.blank:
                        yield element.done()
                    _check_rest(file, chunk[place:], where)
                    return
        element.add(chunk[begin:] if depth else b"")
        # An escaped character may be the first of the next chunk.
        place = max(0, place - len(chunk))
    raise EOFError("the end of the list is missing")


class _Element:
    """Collects the bytes of an element, as far as they may be kept."""

    def __init__(self, largest: int) -> None:
        self.largest, self.size, self.pieces = largest, 0, list[bytes]()

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        self.pieces = [*self.pieces, piece] if self.size <= self.largest else []

    @property
    def blank(self) -> bool:
        return self.size <= self.largest and not b"".join(self.pieces).strip(BLANKS)

    def done(self) -> bytes | None:
        whole = b"".join(self.pieces) if self.size <= self.largest else None
        self.size, self.pieces = 0, []
        return whole


def _check_rest(file: IO[bytes], rest: bytes, where: str) -> None:
    while rest := rest or file.read(CHUNK):
        if rest.strip(BLANKS):
            raise AbovoError("holds more than its list", where, "write one list of objects, or one object per line")
        rest = b""
