"""Look at the sizes of a parquet file's pages before they are decoded, while their bytes pass to the library.

What the footer says of sizes binds nobody, but a page is decoded into a buffer of the size that its own header names
(Thrift compact protocol, struct PageHeader of parquet.thrift), and into no larger one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

from abovo.corpus.seekable import SeekableFile
from abovo.errors import AbovoError

# Bytes at the beginning of a column chunk that are read before the library does, to see its dictionary.
AHEAD = 1 << 18
# Headers of pages are rarely longer (bytes).
USUAL = 1 << 12
# Values that one page of a column of lists may have: runs of nulls take no bytes.
MOST_VALUES = 4_000_000
DICTIONARY_PAGE = 2
# Types of the compact protocol, and how deep the structs of a page header lie in each other.
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 12
DEPTH = 4


class PageHeader(NamedTuple):
    """The kind of a page, its bytes when decoded and as stored, its values, and the bytes of its header."""

    kind: int
    size: int
    stored: int
    values: int
    length: int


def page_header(data: bytes) -> PageHeader | None:
    """The header that the bytes begin with; None where they end within it. Raises ValueError where it is none."""
    compact = _Compact(data)
    try:
        fields = compact.struct()
    except IndexError:
        return None
    own: dict[int, Any] = next((fields[key] for key in (5, 7, 8) if isinstance(fields.get(key), dict)), {})
    numbers = [found.get(key) for found, key in ((fields, 1), (fields, 2), (fields, 3), (own, 1))]
    kind, size, stored, values = (number if isinstance(number, int) else -1 for number in numbers)
    if min(kind, size, stored, values) < 0:
        raise ValueError("sizes are missing")
    return PageHeader(kind, size, stored, values, compact.place)


class _Compact:
    """Reads structs of whole numbers, of structs, and of values that are passed over."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        key = 0
        while byte := self._byte():
            kind = byte & 15
            key = key + (byte >> 4) if byte >> 4 else self._number()
            fields[key] = self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (I16, I32, I64):
            return self._number()
        if kind in (TRUE, FALSE):
            return None
        if kind == STRUCT and depth < DEPTH:
            return self.struct(depth + 1)
        if kind not in (BYTE, DOUBLE, BINARY):
            raise ValueError(f"type {kind} of a field")
        size = {BYTE: 1, DOUBLE: 8}.get(kind) or self._unsigned()
        self.place += size
        if self.place > len(self.data):
            raise IndexError
        return None

    def _byte(self) -> int:
        self.place += 1
        return self.data[self.place - 1]

    def _unsigned(self) -> int:
        number = shift = 0
        while shift < 70:
            byte = self._byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number
        raise ValueError("a number without end")

    def _number(self) -> int:
        number = self._unsigned()
        return number >> 1 ^ -(number & 1)


@dataclass
class Chunk:
    """A column chunk of a row group, from byte `begin` to `end`, and what its pages take when decoded.

    Of one that is `kept`, a dictionary column, all pages stay in memory, of others one at a time. `nested` are lists.
    """

    begin: int
    end: int
    kept: bool
    nested: bool
    next: int = -1
    held: bytes = b""
    dictionary: int = 0
    pages: int = 0

    @property
    def size(self) -> int:
        return self.dictionary + self.pages

    def see(self, place: int, data: bytes, where: str) -> None:
        """Take note of the headers of pages in bytes that stand at `place`."""
        if place <= self.begin < place + len(data):
            self.next, self.held, self.dictionary, self.pages = self.begin, b"", 0, 0
        if self.held and place == self.next + len(self.held):
            data, place = self.held + data, self.next
        self.held = b""
        while place <= self.next < min(self.end, place + len(data)):
            try:
                begin = self.next - place
                header = page_header(data[begin : begin + USUAL]) or page_header(data[begin:])
                if header and self.nested and header.kind != DICTIONARY_PAGE and header.values > MOST_VALUES:
                    raise ValueError(f"{header.values:,} values of a column of lists in one page")
            except ValueError as error:
                raise AbovoError(f"cannot be read as parquet (page header: {error})", where, "replace it") from None
            if header is None:
                self.held = data[begin:]
                return
            self.next += header.length + header.stored
            if header.kind == DICTIONARY_PAGE:
                self.dictionary = header.size
            else:
                self.pages = self.pages + header.size if self.kept else max(self.pages, header.size)


class WatchedFile(SeekableFile):
    """A parquet file for the library to read. Raises AbovoError before more than `limit` bytes would be decoded."""

    def __init__(self, file: IO[bytes], where: str, limit: int, mend: str) -> None:
        self.file, self.where, self.limit, self.mend = file, where, limit, mend
        self.chunks: Sequence[Chunk] = ()
        self.ahead: dict[int, bytes] = {}

    def watch(self, chunks: Sequence[Chunk], *, all_at_once: bool) -> None:
        """The chunks that come next. Their beginnings are read, or all of them, where they come over a network."""
        self.chunks, self.ahead = chunks, {}
        if all_at_once:
            begin, end = min(chunk.begin for chunk in chunks), max(chunk.end for chunk in chunks)
            self._read_ahead(begin, max(0, end - begin))
        else:
            for chunk in chunks:
                self._read_ahead(chunk.begin, max(0, min(AHEAD, chunk.end - chunk.begin)))

    def seek(self, offset: int, whence: int = 0) -> int:
        self.place = self.file.seek(offset, whence) if whence == 2 else offset + (self.place if whence else 0)
        return self.place

    def read(self, size: int | None = -1) -> bytes:
        size = None if size is None or size < 0 else size
        data = self._known(size)
        place = self.place + len(data)
        if len(data) != size:
            if self.file.tell() != place:
                self.file.seek(place)
            found = self.file.read(-1 if size is None else size - len(data))
            self._see(place, found)
            data += found
        self.place += len(data)
        return data

    def _known(self, size: int | None) -> bytes:
        """What was read ahead of the bytes that come next, `size` at most."""
        for begin, data in self.ahead.items():
            offset = self.place - begin
            if 0 <= offset < len(data):
                return data[offset:] if size is None else data[offset : offset + size]
        return b""

    def close(self) -> None:
        self.file.close()
        super().close()

    def _read_ahead(self, place: int, size: int) -> None:
        self.file.seek(place)
        self.ahead[place] = self.file.read(size)
        self._see(place, self.ahead[place])

    def _see(self, place: int, data: bytes) -> None:
        for chunk in self.chunks:
            if chunk.begin < place + len(data) and place < chunk.end:
                chunk.see(place, data, self.where)
        size = sum(chunk.size for chunk in self.chunks)
        if size > self.limit:
            what = f"a row group holds pages of {size / 1e6:,.0f} MB, {self.limit / 1e6:,.0f} MB are the most"
            raise AbovoError(what, self.where, self.mend)
