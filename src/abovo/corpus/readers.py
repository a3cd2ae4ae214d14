"""Turn an open file into records: text, JSON or parquet; damage is named with file and record, or counted.

Memory does not grow with a file: lines and elements of lists are read up to a limit, and parquet page by page.
"""

import gzip
import io
import itertools
import json
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import orjson
import zstandard

from abovo.corpus import units
from abovo.corpus.json_lists import elements
from abovo.corpus.parquet import read_parquet
from abovo.corpus.records import Part, Record, Row, Rules
from abovo.corpus.zst import zstd_lines
from abovo.errors import AbovoError

DAMAGE = (OSError, EOFError, zlib.error, zstandard.ZstdError)
BOM = b"\xef\xbb\xbf"


def kind_of(name: str) -> tuple[str, str]:
    """(kind, packing) of a file by its name: ("jsonl", "gz") for a.jsonl.gz; a kind of "" has no reader."""
    stem, packing = name.lower(), ""
    for ending in PACKINGS:
        if ending and stem.endswith(f".{ending}"):
            stem, packing = stem[: -len(ending) - 1], ending
    kind = stem.rpartition(".")[2]
    return (kind if kind in READERS and not (kind == "parquet" and packing) else ""), packing


def read_file(source: Path | IO[bytes], name: str, where: str, rules: Rules, part: Part) -> Iterator[Any]:
    """The records of a file on this machine or of an open one: `Record`s, or `Row`s where the rules name no column.

    An empty file gives one refused record that says so.
    """
    kind, packing = kind_of(name)
    found = None
    for found in READERS[kind](source, packing, name, where, rules, part):
        yield found
    if found is None and not part.start and part.pieces == 1:
        yield rules.empty(name, "empty file", where)


def _pieces(
    source: Path | IO[bytes], packing: str, where: str, largest: int, part: Part, *, lists: bool = False
) -> Iterator[tuple[str, int, bytes | None]]:
    """("line", number from 1, its bytes) of a plain or packed file; None for one of more than `largest` bytes.

    With `lists`, a file that begins with a bracket is one JSON list: ("record", number from 1, its bytes).
    """
    word, number, place, end = "line", part.lines, 0, math.inf
    try:
        with source.open("rb", 1 << 18) if isinstance(source, Path) else io.BufferedReader(source, 1 << 18) as file:  # type: ignore[type-var]
            if part.pieces > 1:
                place, end = _first_line(file, part.number), (part.number + 1) * units.RANGE
            lines = PACKINGS[packing](file)
            if lists and lines.peek(1).removeprefix(BOM).lstrip().startswith(b"["):
                word = "record"
                for number, data in enumerate(elements(lines, largest, where), 1):
                    yield word, number, data
                return
            while place < end and (line := lines.readline(largest + 2)):
                place += len(line)
                if number == 0:
                    line = line.removeprefix(BOM)
                number += 1
                if len(line) <= largest or (len(line.rstrip(b"\r\n")) <= largest and line.endswith(b"\n")):
                    yield word, number, line
                    continue
                while line and not line.endswith(b"\n"):
                    line = lines.readline(1 << 20)
                    place += len(line)
                yield word, number, None
    except DAMAGE as error:
        raise AbovoError(f"cannot be read beyond {word} {number} ({error})", where, "replace the file") from None


def _first_line(file: IO[bytes], piece: int) -> int:
    """Go to the first line that begins in a range of bytes, and return its place."""
    if piece:
        file.seek(piece * units.RANGE - 1)
        while (rest := file.readline(1 << 20)) and not rest.endswith(b"\n"):
            pass
    return file.tell()


def _read_text(
    source: Path | IO[bytes], packing: str, name: str, where: str, rules: Rules, part: Part
) -> Iterator[Record | Row]:
    if rules.by_line:
        for word, number, line in _pieces(source, packing, where, rules.largest, part):
            if number > part.lines + part.start:
                yield rules.text(f"{name}#{number:08d}", line, f"{where}, {word} {number}", line=True)
    elif not part.start:
        pieces: list[bytes] = []
        size = 0
        for _, _, line in _pieces(source, packing, where, rules.largest, part):
            size += rules.largest + 1 if line is None else len(line)
            if size > rules.largest:
                yield rules.empty(name, "too large", where)
                return
            pieces.append(line or b"")
        if pieces:
            yield rules.text(name, b"".join(pieces), where)


def _read_json(
    source: Path | IO[bytes], packing: str, name: str, where: str, rules: Rules, part: Part
) -> Iterator[Record | Row]:
    lists = kind_of(name)[0] == "json"
    found = (
        piece
        for piece in _pieces(source, packing, where, rules.largest, part, lists=lists)
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


PACKINGS: dict[str, Callable[[IO[bytes]], Any]] = {
    "": lambda file: file,
    "gz": lambda file: io.BufferedReader(gzip.GzipFile(fileobj=file), 1 << 18),  # type: ignore[type-var]
    "zst": zstd_lines,
}
READERS: dict[str, Callable[..., Iterator[Record | Row]]] = {
    "txt": _read_text,
    "raw": _read_text,
    "jsonl": _read_json,
    "json": _read_json,
    "ndjson": _read_json,
    "parquet": read_parquet,
}
# The endings that have a reader, as errors tell them.
KNOWN = f"{', '.join(f'.{kind}' for kind in READERS)}; but for .parquet also .gz or .zst"
