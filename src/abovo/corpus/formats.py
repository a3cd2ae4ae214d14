"""Turn an open file into records: JSON lines, text or parquet; damage is named with file and record, or counted.

Memory does not grow with a file: lines are read up to a limit, and parquet page by page.
"""

import gzip
import io
import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson
import zstandard

from abovo.corpus import units
from abovo.corpus.zst import zstd_lines
from abovo.errors import AbovoError

DAMAGE = (OSError, EOFError, zlib.error, zstandard.ZstdError)
# Parquet text that is decoded at a time (bytes), and rows at most.
BATCH_BYTES, BATCH_ROWS = 2_000_000, 1024
BOM = b"\xef\xbb\xbf"


class Record(NamedTuple):
    """A document as found. Its text is None where the source holds none, and `fault` says why ("" for null)."""

    id: str
    text: str | None
    fault: str = ""


@dataclass(frozen=True)
class Rules:
    """What a record is: `column` of its text, one per `line` of a .txt file or one per file, at most `largest` bytes.

    `stops` says whether a damaged record ends the reading with an error, or is handed on as a refused one.
    """

    column: str
    by_line: bool
    largest: int
    stops: bool

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Rules":
        largest = int(float(settings.get("max_record_mb") or 16) * 1_000_000)
        by_line = settings.get("documents") == "line"
        return cls(settings["column"], by_line, largest, settings.get("bad_records", "stop") == "stop")

    def refuse(self, key: str, fault: str, where: str, detail: str = "", mend: str = "mend or remove it") -> Record:
        """A damaged record, or the error that names it."""
        if self.stops:
            raise AbovoError(
                f"{fault}{f' ({detail})' if detail else ''}", where, f"{mend}, or set `bad_records: count`"
            )
        return Record(key, None, fault)


@dataclass(frozen=True)
class Part:
    """Which part of a file is read: piece `number` of `pieces` (row groups, or ranges of bytes), less the first `start`
    records; `lines` of the file begin before the piece's first one.
    """

    number: int = 0
    pieces: int = 1
    start: int = 0
    lines: int = 0


def kind_of(name: str) -> tuple[str, str]:
    """(kind, packing) of a file by its name: ("jsonl", "gz") for a.jsonl.gz; a kind of "" has no reader."""
    stem, packing = name.lower(), ""
    for ending in PACKINGS:
        if ending and stem.endswith(f".{ending}"):
            stem, packing = stem[: -len(ending) - 1], ending
    kind = stem.rpartition(".")[2]
    return (kind if kind in READERS and not (kind == "parquet" and packing) else ""), packing


def read_file(source: Path | IO[bytes], name: str, where: str, rules: Rules, part: Part) -> Iterator[Record]:
    """The records of a file on this machine or of an open one. An empty file gives one refused record that says so."""
    kind, packing = kind_of(name)
    found = None
    for found in READERS[kind](source, packing, name, where, rules, part):
        yield found
    if found is None and not part.start and part.pieces == 1:
        yield Record(name, None, "empty file")


# Text and JSON lines.


def _lines(
    source: Path | IO[bytes], packing: str, where: str, largest: int, part: Part
) -> Iterator[tuple[int, bytes | None]]:
    """(number from 1, line) of a plain or packed file; None for a line of more than `largest` bytes."""
    number, place, end = part.lines, 0, math.inf
    try:
        with source.open("rb", 1 << 18) if isinstance(source, Path) else io.BufferedReader(source, 1 << 18) as file:  # type: ignore[type-var]
            if part.pieces > 1:
                place, end = _first_line(file, part.number), (part.number + 1) * units.RANGE
            lines = PACKINGS[packing](file)
            while place < end and (line := lines.readline(largest + 2)):
                place += len(line)
                if number == 0:
                    line = line.removeprefix(BOM)
                number += 1
                if len(line) <= largest or (len(line.rstrip(b"\r\n")) <= largest and line.endswith(b"\n")):
                    yield number, line
                    continue
                while line and not line.endswith(b"\n"):
                    line = lines.readline(1 << 20)
                    place += len(line)
                yield number, None
    except DAMAGE as error:
        raise AbovoError(f"cannot be read beyond line {number} ({error})", where, "replace the file") from None


def _first_line(file: IO[bytes], piece: int) -> int:
    """Go to the first line that begins in a range of bytes, and return its place."""
    if piece:
        file.seek(piece * units.RANGE - 1)
        while (rest := file.readline(1 << 20)) and not rest.endswith(b"\n"):
            pass
    return file.tell()


def _read_text(
    source: Path | IO[bytes], packing: str, name: str, where: str, rules: Rules, part: Part
) -> Iterator[Record]:
    if rules.by_line:
        for number, line in _lines(source, packing, where, rules.largest, part):
            if number > part.lines + part.start:
                yield _text_record(f"{name}#{number:08d}", line, f"{where}, line {number}", rules)
    elif not part.start:
        pieces: list[bytes] = []
        size = 0
        for _, line in _lines(source, packing, where, rules.largest, part):
            size += rules.largest + 1 if line is None else len(line)
            if size > rules.largest:
                yield Record(name, None, "too large")
                return
            pieces.append(line or b"")
        if pieces:
            yield _text_record(name, b"".join(pieces), where, rules, whole=True)


def _text_record(key: str, data: bytes | None, where: str, rules: Rules, *, whole: bool = False) -> Record:
    if data is None:
        return Record(key, None, "too large")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return rules.refuse(key, "not UTF-8", where, f"byte {error.start}", "convert it: iconv -t utf-8")
    return Record(key, text if whole else text.rstrip("\r\n"))


def _read_json_lines(
    source: Path | IO[bytes], packing: str, name: str, where: str, rules: Rules, part: Part
) -> Iterator[Record]:
    found = (
        (number, line)
        for number, line in _lines(source, packing, where, rules.largest, part)
        if line is None or not line.isspace()
    )
    for number, line in itertools.islice(found, part.start, None):
        yield _json_record(f"{name}#{number:08d}", line, f"{where}, line {number}", rules)


def _json_record(key: str, line: bytes | None, where: str, rules: Rules) -> Record:
    if line is None:
        return Record(key, None, "too large")
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as unicode:
            return rules.refuse(key, "not UTF-8", where, f"byte {unicode.start}")
        return rules.refuse(key, "not valid JSON", where, str(error))
    if not isinstance(row, dict):
        return rules.refuse(key, "not a JSON object", where, "", "write one object per line")
    if rules.column not in row:
        return rules.refuse(key, f"no column {rules.column!r}", where, _known(row), "set the source's `column`")
    value = row[rules.column]
    if value is not None and not isinstance(value, str):
        what = f"column {rules.column!r} holds {type(value).__name__}, not text"
        return rules.refuse(key, what, where, "", "choose a text column")
    return Record(key, value)


def _known(names: Any) -> str:
    return f"has: {', '.join(sorted(map(str, names))[:12])}"


# Parquet.


def _parquet(source: Path | IO[bytes]) -> Any:
    """An open parquet file whose column chunks are read piece by piece, not whole."""
    import pyarrow
    import pyarrow.parquet

    if isinstance(source, Path):
        return pyarrow.parquet.ParquetFile(str(source), buffer_size=1 << 18)
    # A file of the hub is opened for each of its units; its footer is fetched once.
    footers = getattr(source, "footers", {})
    footer = footers.get(source.name)
    file = pyarrow.parquet.ParquetFile(pyarrow.PythonFile(source, mode="r"), metadata=footer, buffer_size=1 << 18)
    footers.clear()
    footers[source.name] = file.metadata
    return file


def parquet_groups(source: Path | IO[bytes], where: str) -> list[int]:
    """The rows of each row group of a parquet file, from its footer."""
    import pyarrow

    try:
        with _parquet(source) as file:
            return [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    except (pyarrow.ArrowException, OSError) as error:
        raise AbovoError(f"cannot be read as parquet ({error})", where, "replace the file") from None


def _read_parquet(
    source: Path | IO[bytes], _: str, name: str, where: str, rules: Rules, part: Part
) -> Iterator[Record]:
    import pyarrow

    number = 0
    try:
        with _parquet(source) as file:
            place = _column(file, rules.column, where)
            groups, meta = file.metadata.num_row_groups, file.metadata
            first, end = (groups * k // part.pieces for k in (part.number, part.number + 1))
            number = sum(meta.row_group(group).num_rows for group in range(first))
            begin = number + part.start
            for group in range(first, end):
                rows = meta.row_group(group).num_rows
                if number + rows <= begin:
                    number += rows
                    continue
                chunk = meta.row_group(group).column(place)
                if not isinstance(source, Path) and hasattr(source, "expect"):
                    offset = chunk.dictionary_page_offset or chunk.data_page_offset
                    source.expect(offset, offset + chunk.total_compressed_size)
                size = max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(1, chunk.total_uncompressed_size)))
                for batch in file.iter_batches(size, [group], [rules.column], use_threads=False):
                    for record in _values(batch.column(0), name, number, where, rules):
                        number += 1
                        if number > begin:
                            yield record
    except (pyarrow.ArrowException, OSError) as error:
        what = f"cannot be read as parquet beyond row {number} ({error})"
        raise AbovoError(what, where, "replace the file") from None


def _column(file: Any, column: str, where: str) -> int:
    """The place of the text column among the leaves of the file. Raises AbovoError where it is not there or no text."""
    import pyarrow

    schema, mend = file.schema_arrow, "set the source's `column`"
    if column not in schema.names:
        raise AbovoError(f"no column {column!r} ({_known(schema.names)})", where, mend)
    kind = schema.field(column).type
    plain = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    if not (pyarrow.types.is_string(plain) or pyarrow.types.is_large_string(plain) or pyarrow.types.is_null(plain)):
        raise AbovoError(f"column {column!r} holds {kind}, not text", where, mend)
    leaves = [file.schema.column(place).path for place in range(len(file.schema))]
    return leaves.index(column)


def _values(column: Any, name: str, before: int, where: str, rules: Rules) -> Iterator[Record]:
    """The records of one batch; a value that is not UTF-8 is found by taking the batch apart."""
    import pyarrow

    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = column.cast(pyarrow.large_binary()).to_pylist()
    for number, value in enumerate(values, before + 1):
        key = f"{name}#{number:08d}"
        if value is None:
            yield Record(key, None)
        elif len(value) > rules.largest:
            yield Record(key, None, "too large")
        elif isinstance(value, bytes):
            yield _text_record(key, value, f"{where}, row {number}", rules, whole=True)
        else:
            yield Record(key, value)


PACKINGS: dict[str, Callable[[IO[bytes]], Any]] = {
    "": lambda file: file,
    "gz": lambda file: io.BufferedReader(gzip.GzipFile(fileobj=file), 1 << 18),  # type: ignore[type-var]
    "zst": zstd_lines,
}
READERS: dict[str, Callable[..., Iterator[Record]]] = {
    "txt": _read_text,
    "jsonl": _read_json_lines,
    "json": _read_json_lines,
    "ndjson": _read_json_lines,
    "parquet": _read_parquet,
}
