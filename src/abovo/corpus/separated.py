"""Turn a file of separated values, .csv or .tsv, into records: its first row names the columns.

Quotes are those of RFC 4180: a quoted value may hold separators, line ends and doubled quotes. A row must have as many
values as there are columns, else a text would end at its first comma unseen.
"""

import csv
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from abovo.corpus.lines import pieces
from abovo.corpus.records import Part, Record, Row, Rules, known
from abovo.errors import AbovoError

SEPARATORS = {"csv": ",", "tsv": "\t"}
# Lines are bounded before they come to the module, whose own limit is one for the whole process.
csv.field_size_limit((1 << 31) - 1)


def read_separated(
    source: Path | IO[bytes], packing: str, name: str, where: str, rules: Rules, part: Part
) -> Iterator[Record | Row]:
    """The records of a file, less the first `part.start`; one without a header gives none."""
    kind = name.lower().removesuffix(f".{packing}").rpartition(".")[2]
    lines = _Lines(source, packing, where, rules.largest)
    reader, header = _open(lines, kind)
    if header is None:
        return
    column = _place(header, rules.column, where)
    for number in itertools.count(1):
        key, found = f"{name}#{number:08d}", _next(reader, lines)
        if found is None:
            return
        if number > part.start:
            place = f"{where}, line {lines.first}"
            yield _record(key, found, header, column, place, rules)


def header_of(source: Path | IO[bytes], packing: str, kind: str, where: str, largest: int) -> list[str] | None:
    """The names of the columns; None for an empty file."""
    return _open(_Lines(source, packing, where, largest), kind)[1]


def _record(
    key: str, found: list[str] | csv.Error, header: list[str], column: int, where: str, rules: Rules
) -> Record | Row:
    if isinstance(found, csv.Error):
        return rules.refuse(key, "not valid CSV", where, str(found), "mend its quotes")
    if len(found) != len(header):
        what = f"{len(found)} values in a row of {len(header)} columns"
        return rules.refuse(key, "not valid CSV", where, what, "quote values that hold the separator")
    for value in found if column < 0 else [found[column]]:
        if not value.isascii():
            record = rules.text(key, value.encode("utf-8", "surrogateescape"), where)
            if column >= 0:
                return record
    return Row(where, dict(zip(header, found, strict=True))) if column < 0 else Record(key, found[column])


def _open(lines: "_Lines", kind: str) -> tuple[Iterator[list[str]], list[str] | None]:
    """A reader that stands behind the header, and the header; a .csv file whose header has semicolons alone has them as
    separators, as those of spreadsheets do where the comma is that of decimals."""
    separator, first = SEPARATORS[kind], lines.peek()
    if separator == "," and "," not in first and ";" in first:
        separator = ";"
    reader = csv.reader(lines, delimiter=separator, strict=True)
    header = _next(reader, lines)
    if isinstance(header, csv.Error):
        raise AbovoError(f"its header is no row of values ({header})", lines.where, "mend its first line")
    return reader, header


def _place(header: list[str], column: str | None, where: str) -> int:
    """The place of the text among the values of a row, -1 where whole rows are wanted."""
    twice = sorted(name for name, times in Counter(header).items() if times > 1)
    if twice and (column is None or column in twice):
        raise AbovoError(f"two columns are named {twice[0]!r}", f"{where}, line 1", "rename one")
    if column is None:
        return -1
    if column not in header:
        raise AbovoError(f"no column {column!r} ({known(header)})", where, "set the source's `column`")
    return header.index(column)


def _next(reader: Iterator[list[str]], lines: "_Lines") -> list[str] | csv.Error | None:
    """The next row that is not blank, an error for one that is none, and None at the end."""
    while True:
        lines.begin()
        try:
            row = next(reader, None)
        except csv.Error as error:
            if lines.ended:
                what = f"cannot be read beyond line {lines.first} ({error}: a quote is not closed)"
                raise AbovoError(what, lines.where, "mend or replace the file") from None
            return error
        if row is None or row:
            return row


class _Lines:
    """The lines of a file as text, bytes that are not UTF-8 as surrogates. Raises AbovoError where those of one row are
    more than the limit: where the row ends could not be told."""

    def __init__(self, source: Path | IO[bytes], packing: str, where: str, largest: int) -> None:
        self.pieces = pieces(source, packing, where, largest, Part())
        self.where, self.largest = where, largest
        self.number = self.first = self.size = 0
        self.ended = False
        self.held: str | None = None

    def peek(self) -> str:
        """The line that comes next, "" at the end."""
        self.held = next(self, "")
        return self.held

    def begin(self) -> None:
        """A row begins with the next line."""
        self.first, self.size = self.number + 1, 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self.held:
            held, self.held = self.held, None
            return held
        try:
            _, self.number, line = next(self.pieces)
        except StopIteration:
            self.ended = True
            raise
        self.size += self.largest + 1 if line is None else len(line)
        if line is None or self.size > self.largest:
            what = f"the row that begins here is larger than {self.largest / 1e6:g} MB, or a quote is not closed"
            mend = "raise `max_record_mb`, or mend the row"
            raise AbovoError(what, f"{self.where}, line {self.first}", mend)
        return line.decode("utf-8", "surrogateescape")
