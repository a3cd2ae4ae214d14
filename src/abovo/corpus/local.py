"""Turn files into records: .txt, .jsonl, .jsonl.gz, .jsonl.zst and .parquet, read line by line or batch by batch."""

import gzip
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson
import zstandard

from abovo.corpus.zst import zstd_lines
from abovo.errors import AbovoError
from abovo.provenance.hashing import sha256_file

Documents = Iterator[tuple[str, str | None]]


def open_files(settings: Mapping[str, Any], revision: Mapping[str, Any] | None = None):
    """Open one path or a list of them; a folder stands for every file in it that can be read. A unit is a file."""
    files = find_files(settings["paths"])
    listed = [{"name": name, "sha256": sha256_file(path)} for name, path in sorted(files.items())]

    def read(unit: str) -> Documents:
        return READERS[_kind(files[unit])](files[unit], unit, settings)

    return {"files": listed}, tuple(sorted(files)), read


def find_files(paths: str | list[str]) -> dict[str, Path]:
    """Files by a name without the folders above the path given, so that ids do not tell where a machine keeps them."""
    found: dict[str, Path] = {}
    for given in map(Path, [paths] if isinstance(paths, str) else paths):
        if given.is_dir():
            own = {
                path.relative_to(given).as_posix(): path
                for path in sorted(given.rglob("*"))
                if path.is_file() and _kind(path) in READERS
            }
            if not own:
                raise AbovoError(f"the folder holds no {', '.join(READERS)} file", given, "name another folder")
        elif given.is_file():
            if _kind(given) not in READERS:
                raise AbovoError(f"no reader for this kind of file (known: {', '.join(READERS)})", given, "convert it")
            own = {given.name: given}
        else:
            raise AbovoError("the file does not exist", given, "mend the source's `paths`")
        twice = sorted(own.keys() & found.keys())
        if twice:
            mend = "name the folder above both, so that their names differ"
            raise AbovoError(f"two files are named {twice[0]}: {found[twice[0]]} too", own[twice[0]], mend)
        found.update(own)
    return found


def _kind(path: Path) -> str:
    name = path.name.lower()
    return next((kind for kind in READERS if name.endswith(kind)), path.suffix)


@contextmanager
def _lines(path: Path) -> Iterator[IO[bytes]]:
    """The lines of a plain, gzip or zstd file; damage becomes an AbovoError that names the file."""
    try:
        if path.name.lower().endswith(".zst"):
            # A file may be several frames one after the other, as parallel compressors write it.
            with path.open("rb") as packed:
                yield zstd_lines(packed)
        elif path.name.lower().endswith(".gz"):
            with gzip.open(path, "rb") as unpacked:
                yield unpacked  # type: ignore[misc]
        else:
            with path.open("rb") as plain:
                yield plain
    except (OSError, EOFError, zstandard.ZstdError) as error:
        raise AbovoError(f"cannot be read ({error})", path, "replace the file") from None


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AbovoError(f"not UTF-8 (byte {error.start})", where, "convert it: iconv -t utf-8") from None


def _read_text(path: Path, unit: str, settings: Mapping[str, Any]) -> Documents:
    if settings["documents"] == "file":
        yield unit, _decode(path.read_bytes(), str(path))
        return
    with _lines(path) as lines:
        for number, line in enumerate(lines, 1):
            yield f"{unit}#{number:08d}", _decode(line, f"{path}, line {number}").rstrip("\r\n")


def _read_json_lines(path: Path, unit: str, settings: Mapping[str, Any]) -> Documents:
    column = settings["column"]
    with _lines(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise AbovoError(f"not valid JSON ({error})", where, "mend or remove the line") from None
            if not isinstance(row, dict):
                raise AbovoError("not a JSON object", where, "write one object per line")
            yield f"{unit}#{number:08d}", text_of(row, column, where)


def _read_parquet(path: Path, unit: str, settings: Mapping[str, Any]) -> Documents:
    import pyarrow
    import pyarrow.parquet

    column = settings["column"]
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if column not in names:
                text_of(dict.fromkeys(names), column, str(path))
            number = 0
            for batch in file.iter_batches(batch_size=256, columns=[column]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield f"{unit}#{number:08d}", text_of({column: value}, column, f"{path}, row {number}")
    except (pyarrow.ArrowException, OSError) as error:
        raise AbovoError(f"cannot be read as parquet ({error})", path, "replace the file") from None


def text_of(row: Mapping[str, Any], column: str, where: str) -> str | None:
    """The text of a row, None for null. Raises AbovoError naming file and record for a missing column or no text."""
    if column not in row:
        known = ", ".join(sorted(map(str, row))[:12])
        raise AbovoError(f"no column {column!r} (has: {known})", where, "set the source's `column`")
    value = row[column]
    if value is not None and not isinstance(value, str):
        raise AbovoError(f"column {column!r} holds {type(value).__name__}, not text", where, "choose a text column")
    return value


READERS: dict[str, Callable[[Path, str, Mapping[str, Any]], Documents]] = {
    ".txt": _read_text,
    ".jsonl": _read_json_lines,
    ".jsonl.gz": _read_json_lines,
    ".jsonl.zst": _read_json_lines,
    ".parquet": _read_parquet,
}
