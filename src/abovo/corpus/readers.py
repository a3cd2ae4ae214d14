"""Turn an open file into records: text, JSON, CSV or parquet; damage is named with file and record, or counted.

Memory does not grow with a file: lines and elements of lists are read up to a limit, and parquet page by page.
"""

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from abovo.corpus.lines import PACKINGS, pieces, whole
from abovo.corpus.parquet import read_parquet
from abovo.corpus.records import Part, Record, Row, Rules
from abovo.corpus.separated import header_of, read_separated
from abovo.errors import AbovoError

# A line or an element of a list: what it is, its number from 1, its bytes (None: more than a record may have).
Piece = tuple[str, int, bytes | None]
# What of a file is read to see whether its first record is one (bytes).
LOOK = 16_000_000


def kind_of(name: str, endings: Collection[str] = ()) -> tuple[str, str]:
    """(kind, packing) of a file by its name: ("jsonl", "gz") for a.jsonl.gz; a kind of "" has no reader.

    Files with one of the `endings` are text, of the kind txt.
    """
    stem, packing = name.lower(), ""
    beginning, _, ending = stem.rpartition(".")
    if ending in PACKINGS and beginning:
        stem, packing = beginning, ending
    beginning, _, kind = stem.rpartition(".")
    kind = kind if beginning else ""
    if kind in endings:
        return "txt", packing
    return (kind if kind in READERS and not (kind == "parquet" and packing) else ""), packing


def read_file(source: Path | IO[bytes], name: str, where: str, rules: Rules, part: Part) -> Iterator[Any]:
    """The records of a file on this machine or of an open one: `Record`s, or `Row`s where the rules name no column.

    An empty file gives one refused record that says so.
    """
    kind, packing = kind_of(name, rules.endings)
    found = None
    for found in READERS[kind](source, packing, name, where, rules, part):
        yield found
    if found is None and not part.start and part.pieces == 1:
        yield rules.empty(name, "empty file", where)


def has_records(path: Path, column: str | None) -> bool:
    """Whether a .json, .csv or .tsv file begins with a record that has the column (None: with any record).

    An empty file does, and a damaged one, so that whoever reads it counts or names it. A single object is no list and
    no lines of records, and one without the column is something else anyway.
    """
    kind, packing = kind_of(path.name)
    try:
        if kind != "json":
            header = header_of(path, packing, kind, str(path), LOOK)
            return header is None or column is None or column in header
        found = pieces(path, packing, str(path), LOOK, Part(), lists=True)
        records = (piece for piece in found if piece[2] is None or not piece[2].isspace())
        word, _, data = next(records, ("", 0, b""))
        if word == "line" and column is None and next(records, None) is None:
            return False
    except AbovoError:
        return True
    if not data:
        return word != "line"
    try:
        row = orjson.loads(data)
    except orjson.JSONDecodeError:
        row, _ = _lenient(data)
        if row is None:
            return word == "record"
    return isinstance(row, dict) and (column is None or column in row)


def _read_text(
    source: Path | IO[bytes], packing: str, name: str, where: str, rules: Rules, part: Part
) -> Iterator[Record | Row]:
    if rules.documents != "file":
        found = pieces(source, packing, where, rules.largest, part)
        runs = _by_paragraph(found, rules) if rules.documents == "paragraph" else _by_line(found, rules)
        for number, data in itertools.islice(runs, part.start, None):
            yield rules.text(f"{name}#{number:08d}", data, f"{where}, line {number}", line=True)
    elif not part.start:
        data = whole(source, packing, where, rules.largest)
        if data is None:
            yield rules.empty(name, "too large", where)
        elif data:
            yield rules.text(name, data, where)


def _by_line(lines: Iterator[Piece], rules: Rules) -> Iterator[tuple[int, bytes | None]]:
    """(number of its first line, text) of so many lines in a row; None for a text larger than a record may be."""
    while run := list(itertools.islice(lines, rules.lines)):
        data = [line for _, _, line in run if line is not None]
        fits = rules.lines == 1 or sum(map(len, data)) <= rules.largest
        yield run[0][1], b"".join(data) if fits and len(data) == len(run) else None


def _by_paragraph(lines: Iterable[Piece], rules: Rules) -> Iterator[tuple[int, bytes | None]]:
    """The same of so many paragraphs in a row: lines that blank ones part, which stay where they are in between."""
    number = paragraphs = size = 0
    held, blank = list[bytes](), True
    for _, place, line in lines:
        inside = line is None or not line.isspace()
        if inside and blank and paragraphs == rules.lines:
            yield number, b"".join(held).rstrip() if size <= rules.largest else None
            number = paragraphs = size = 0
            held = []
        paragraphs += inside and blank
        blank = not inside
        if inside or number:
            number = number or place
            size += rules.largest + 1 if line is None else len(line)
            held.append(line or b"")
            if size > rules.largest:
                held.clear()
    if number:
        yield number, b"".join(held).rstrip() if size <= rules.largest else None


def _read_json(
    source: Path | IO[bytes], packing: str, name: str, where: str, rules: Rules, part: Part
) -> Iterator[Record | Row]:
    lists = kind_of(name)[0] == "json"
    found = (
        piece
        for piece in pieces(source, packing, where, rules.largest, part, lists=lists)
        if piece[2] is None or not piece[2].isspace()
    )
    for word, number, data in itertools.islice(found, part.start, None):
        yield _json_record(f"{name}#{number:08d}", data, f"{where}, {word} {number}", rules)


def _json_record(key: str, data: bytes | None, where: str, rules: Rules) -> Record | Row:
    if data is None:
        return rules.empty(key, "too large", where)
    try:
        row = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as unicode:
            return rules.refuse(key, "not UTF-8", where, f"byte {unicode.start}")
        row, constant = _lenient(data)
        if constant:
            return rules.refuse(key, "not valid JSON", where, constant, "write null or leave the key out")
        if row is None:
            return rules.refuse(key, "not valid JSON", where, str(error))
    return rules.row(key, row, where)


class _Constant(str):
    """A word that Python writes for a number which JSON does not have."""


def _lenient(data: bytes) -> tuple[Any, str]:
    """A record that is no JSON only for NaN, which Python and pandas write for an empty cell, with null in its place;
    or, where infinity is what makes it none, the key that holds it. Else (None, "")."""
    words: list[_Constant] = []

    def constant(word: str) -> _Constant | None:
        if word == "NaN":
            return None
        words.append(_Constant(word))
        return words[-1]

    try:
        row = json.loads(data, parse_constant=constant)  # type: ignore[arg-type]
        if not words:
            return orjson.loads(json.dumps(row)), ""  # what else is wrong with it, a lone surrogate say, stays wrong
    except (ValueError, RecursionError):
        return None, ""
    keys = [key for key, value in row.items() if isinstance(value, _Constant)] if isinstance(row, dict) else []
    return None, f"key {keys[0]!r} holds {row[keys[0]]}" if keys else f"holds {words[0]}"


READERS: dict[str, Callable[..., Iterator[Record | Row]]] = {
    "txt": _read_text,
    "raw": _read_text,
    "md": _read_text,
    "jsonl": _read_json,
    "json": _read_json,
    "ndjson": _read_json,
    "csv": read_separated,
    "tsv": read_separated,
    "parquet": read_parquet,
}
# The endings that have a reader, as errors tell them.
KNOWN = f"{', '.join(f'.{kind}' for kind in READERS)}; but for .parquet also .gz or .zst"
