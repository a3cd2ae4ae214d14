"""Turn whole rows of a data set (instruction, evaluation) into dictionaries: files of this machine or of the hub."""

import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from abovo.errors import AbovoError
from abovo.provenance.hashing import sha256_file

Record = dict[str, Any]


@dataclass(frozen=True)
class Records:
    """An opened source: what exactly it is (`revision`, part of the fingerprint), and a fresh pass over its rows."""

    revision: dict[str, Any]
    read: Callable[[], Iterator[Record]]


def open_rows(source: Mapping[str, Any]) -> Records:
    """Open a source of type local (`paths`) or huggingface (`dataset`, `config`, `split`, `revision`)."""
    kind = source.get("type")
    if kind not in SOURCES:
        raise AbovoError(f"no source type {kind!r}", "rows", f"use one of {', '.join(SOURCES)}")
    return SOURCES[kind](source)


def _open_files(source: Mapping[str, Any]) -> Records:
    paths = [Path(path) for path in ([source["paths"]] if isinstance(source["paths"], str) else source["paths"])]
    for path in paths:
        if not path.is_file():
            raise AbovoError("the file does not exist", path, "mend the source's `paths`")
        if _kind(path) not in READERS:
            raise AbovoError(f"no reader for this kind of file (known: {', '.join(READERS)})", path, "convert it")

    def read() -> Iterator[Record]:
        for path in paths:
            for number, row in enumerate(READERS[_kind(path)](path), 1):
                if not isinstance(row, dict):
                    raise AbovoError("not a JSON object", f"{path}, record {number}", "write one object per record")
                yield row

    return Records({"files": [{"name": path.name, "sha256": sha256_file(path)} for path in paths]}, read)


def _kind(path: Path) -> str:
    return next((kind for kind in READERS if path.name.lower().endswith(kind)), path.suffix)


def _json_lines(path: Path) -> Iterator[Any]:
    try:
        with _unpacked(path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _parse(line, f"{path}, line {number}")
    except (OSError, EOFError, zstandard.ZstdError) as error:
        raise AbovoError(f"cannot be read ({error})", path, "replace the file") from None


def _parse(line: bytes, where: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise AbovoError(f"not valid JSON ({error})", where, "mend or remove the line") from None


def _unpacked(path: Path) -> io.BufferedIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    if path.suffix == ".zst":
        return io.BufferedReader(zstandard.open(path, "rb"))  # type: ignore[arg-type]
    return path.open("rb")


def _json(path: Path) -> Iterator[Any]:
    """A JSON file that is one list of records; it is held in memory, so large sets come as JSON lines."""
    try:
        rows = json.loads(path.read_bytes())
    except ValueError as error:
        raise AbovoError(f"not valid JSON ({error})", path, "mend the file") from None
    if not isinstance(rows, list):
        raise AbovoError("not a list of records", path, "write [{...}, ...] or one record per line in a .jsonl file")
    yield from rows


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise AbovoError(f"cannot be read as parquet ({error})", path, "replace the file") from None


def _open_hub(source: Mapping[str, Any]) -> Records:
    from abovo.corpus.hub import dataset_commit

    settings = {"config": None, "split": "train", "revision": "main", "column": "", **source}
    revision = dataset_commit(settings)

    def read() -> Iterator[Record]:
        import datasets

        where = f"data set {settings['dataset']}, split {settings['split']}"
        datasets.disable_progress_bars()
        try:
            yield from datasets.load_dataset(
                settings["dataset"], settings["config"], split=settings["split"], revision=revision["sha"],
                streaming=True,
            )  # fmt: skip
        except ValueError as error:
            raise AbovoError(str(error)[:200], where, "check config and split") from None
        except OSError as error:
            what = f"streaming failed ({type(error).__name__}: {str(error)[:160]})"
            raise AbovoError(what, where, "check the network and start again") from None

    return Records(revision, read)


def _text_lines(path: Path) -> Iterator[Any]:
    """The lines of a text file as rows with the one column `text`."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield {"text": line.decode("utf-8").rstrip("\r\n")}
            except UnicodeDecodeError as error:
                what = f"not UTF-8 (byte {error.start})"
                raise AbovoError(what, f"{path}, line {number}", "convert it: iconv -t utf-8") from None


READERS: dict[str, Callable[[Path], Iterator[Any]]] = {
    ".jsonl": _json_lines,
    ".jsonl.gz": _json_lines,
    ".jsonl.zst": _json_lines,
    ".json": _json,
    ".parquet": _parquet,
    ".txt": _text_lines,
    ".raw": _text_lines,
}
SOURCES: dict[str, Callable[[Mapping[str, Any]], Records]] = {"local": _open_files, "huggingface": _open_hub}
