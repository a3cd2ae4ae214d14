"""Turn files of this machine, named or found in a folder, into records."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.corpus import units
from abovo.corpus.parquet import parquet_groups
from abovo.corpus.readers import KNOWN, kind_of, read_file
from abovo.corpus.records import Part, Rules
from abovo.corpus.units import cut, parts, unit_names
from abovo.errors import AbovoError
from abovo.provenance.hashing import sha256_file
from abovo.settings.place import Place

log = logging.getLogger("abovo")
# What is taken for text in a folder. A .json or .raw file mostly is something else, so it is read where it is named.
IN_FOLDERS = ("txt", "jsonl", "ndjson", "parquet")
# Kinds of files of lines, which are cut where they are large.
LINES, TEXT_LINES = ("jsonl", "ndjson"), ("txt", "raw")


def open_files(place: Place, revision: Mapping[str, Any] | None, rules: Rules):
    """Open one path or a list of them; a folder stands for every file in it that can be read.

    With a known `revision` a file is hashed only before it is read, and must be the one of that time.
    """
    files = find_files(place.paths)
    if revision is None:
        _tell_left_out(place.paths)
        revision = {"files": _describe(files, rules)}
    listed = {item["name"]: item for item in revision["files"]}
    missing = sorted(set(listed) - set(files))
    if missing:
        raise AbovoError("was there when the corpus was planned, and is gone", missing[0], rules.mend)
    sound: set[str] = set()

    def read(unit: str, start: int = 0) -> Iterator[Any]:
        name, number, pieces = cut(unit)
        if name not in sound and sha256_file(files[name]) != listed[name]["sha256"]:
            raise AbovoError("changed after it was planned to be read", files[name], rules.mend)
        sound.add(name)
        before = listed[name]["lines"][number] if "lines" in listed[name] else 0
        return read_file(files[name], name, str(files[name]), rules, Part(number, pieces, start, before))

    return dict(revision), unit_names(revision["files"]), read


def _describe(files: Mapping[str, Path], rules: Rules) -> list[dict[str, Any]]:
    described: list[dict[str, Any]] = []
    parquet = [name for name in files if kind_of(name)[0] == "parquet"]
    for name, path in sorted(files.items()):
        item: dict[str, Any] = {"name": name, "sha256": "", "bytes": path.stat().st_size}
        kind, packing = kind_of(name)
        of_lines = not packing and (kind in LINES or (kind in TEXT_LINES and rules.by_line))
        if of_lines and item["bytes"] > units.RANGE:
            item |= _ranges(path)
        else:
            item["sha256"] = sha256_file(path)
        if name in parquet:
            item |= parts(parquet_groups(path, str(path)), len(parquet))
        described.append(item)
    return described


def _ranges(path: Path) -> dict[str, Any]:
    """The hash of a file of lines, its number of ranges, and how many lines begin before the first one of each."""
    digest, place, seen, lines = hashlib.sha256(), 0, 0, [0]
    with path.open("rb") as file:
        while data := file.read(min(1 << 20, len(lines) * units.RANGE - 1 - place)):
            digest.update(data)
            place, seen = place + len(data), seen + data.count(b"\n")
            if place == len(lines) * units.RANGE - 1:
                # The line of the byte before the range belongs to an earlier one, wherever it ends.
                lines.append(seen + 1)
    if (len(lines) - 1) * units.RANGE >= place:
        lines.pop()
    return {"sha256": digest.hexdigest(), "pieces": len(lines), "lines": lines}


def find_files(paths: str | Sequence[str]) -> dict[str, Path]:
    """Files by a name without the folders above the path given, so that ids do not tell where a machine keeps them."""
    found: dict[str, Path] = {}
    for given in map(Path, [paths] if isinstance(paths, str) else paths):
        if given.is_dir():
            own = {
                path.relative_to(given).as_posix(): path
                for path in sorted(given.rglob("*"))
                if path.is_file() and kind_of(path.name)[0] in IN_FOLDERS
            }
            if not own:
                raise AbovoError(
                    f"the folder holds no file of text (known: {', '.join(IN_FOLDERS)})", given, "name another folder"
                )
        elif given.is_file():
            if not kind_of(given.name)[0]:
                raise AbovoError(f"no reader for this kind of file (known: {KNOWN})", given, "convert it")
            own = {given.name: given}
        else:
            raise AbovoError("the file does not exist", given, "mend the source's `paths`")
        twice = sorted(own.keys() & found.keys())
        if twice:
            mend = "name the folder above both, so that their names differ"
            raise AbovoError(f"two files are named {twice[0]}: {found[twice[0]]} too", own[twice[0]], mend)
        found.update(own)
    return found


def _tell_left_out(paths: str | Sequence[str]) -> None:
    for given in map(Path, [paths] if isinstance(paths, str) else paths):
        others = [path for path in given.rglob("*") if path.is_file() and kind_of(path.name)[0] not in IN_FOLDERS]
        if others:
            first = min(path.relative_to(given).as_posix() for path in others)
            log.warning("%s: %d files of other kinds are not read, such as %s", given, len(others), first)
