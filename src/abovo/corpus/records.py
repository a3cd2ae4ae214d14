"""Say what a source gives: the text of each of its records, or whole rows, and what is wrong with a damaged one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from abovo.errors import AbovoError
from abovo.settings.corpus import Source


class Record(NamedTuple):
    """A document as found. Its text is None where the source holds none, and `fault` says why ("" for null)."""

    id: str
    text: str | None
    fault: str = ""


class Row(NamedTuple):
    """A whole record: its keys or columns, and `where` it stands (file, and line, record or row), for errors."""

    where: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Rules:
    """What is taken of a record: the text under `column`, or the whole row where `column` is None.

    A file of text is one record (`documents`: file), or gives one for each `lines` lines or paragraphs; a record has at
    most `largest` bytes. `endings` are those of files of text besides the known ones. `stops` says whether a damaged
    record ends the reading with an error, or is handed on as a refused one.
    """

    column: str | None
    documents: Literal["file", "paragraph", "line"]
    largest: int
    stops: bool
    lines: int = 1
    endings: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: Source) -> "Rules":
        largest = int(source.max_record_mb * 1_000_000)
        stops = source.bad_records == "stop"
        return cls(source.column, source.documents, largest, stops, source.lines, source.endings)

    @property
    def by_line(self) -> bool:
        """Whether a file of text is one of lines, which may be cut between any two of them."""
        return self.documents == "line"

    @property
    def mend(self) -> str:
        """What to do where a file is not what it was when it was listed."""
        return "start again" if self.column is None else "remove the corpus' plan.json to plan it anew"

    @property
    def larger(self) -> str:
        """What to do where a file needs more memory than records of this size may."""
        smaller = "write it anew with smaller row groups and pages"
        return smaller if self.column is None else f"raise `max_record_mb`, or {smaller}"

    def refuse(self, key: str, fault: str, where: str, detail: str = "", mend: str = "mend or remove it") -> Record:
        """A damaged record, or the error that names it."""
        if self.stops:
            count = "" if self.column is None else ", or set `bad_records: count`"
            raise AbovoError(f"{fault}{f' ({detail})' if detail else ''}", where, f"{mend}{count}")
        return Record(key, None, fault)

    def empty(self, key: str, fault: str, where: str) -> Record:
        """A record without a text that can be used, which a corpus counts; whole rows cannot be done without."""
        if self.column is None:
            raise AbovoError(fault, where, "mend or remove it")
        return Record(key, None, fault)

    def text(self, key: str, data: bytes | None, where: str, *, line: bool = False) -> Record | Row:
        """The record of a text that stands for itself, without its end where it is a `line`; None is too large."""
        if data is None:
            return self.empty(key, "too large", where)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            return self.refuse(key, "not UTF-8", where, f"byte {error.start}", "convert it: iconv -t utf-8")
        text = text.rstrip("\r\n") if line else text
        return Row(where, {"text": text}) if self.column is None else Record(key, text)

    def row(self, key: str, row: Any, where: str) -> Record | Row:
        """The record of a row of keys or columns."""
        if not isinstance(row, dict):
            return self.refuse(key, "not a JSON object", where, "", "write one object per record")
        if self.column is None:
            return Row(where, row)
        if self.column not in row:
            return self.refuse(key, f"no column {self.column!r}", where, known(row), "set the source's `column`")
        value = row[self.column]
        if value is not None and not isinstance(value, str):
            what = f"column {self.column!r} holds {type(value).__name__}, not text"
            return self.refuse(key, what, where, "", "choose a text column")
        return Record(key, value)


# Whole rows: lines of text are rows with the one column `text`, and all damage ends the reading.
WHOLE = Rules(None, "line", largest=16_000_000, stops=True)


@dataclass(frozen=True)
class Part:
    """Which part of a file is read: piece `number` of `pieces` (row groups, or ranges of bytes), less the first `start`
    records; `lines` of the file begin before the piece's first one.
    """

    number: int = 0
    pieces: int = 1
    start: int = 0
    lines: int = 0


def known(names: Iterable[Any]) -> str:
    return f"has: {', '.join(sorted(map(str, names))[:12])}"
