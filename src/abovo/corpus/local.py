"""Turn files of this machine, named or found in a folder, into records."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.corpus import units
from abovo.corpus.folders import Entry, Unread, shown, suffix_of, told, walk
from abovo.corpus.parquet import parquet_groups
from abovo.corpus.readers import KNOWN, has_records, kind_of, read_file
from abovo.corpus.records import Part, Rules
from abovo.corpus.units import cut, parts, unit_names
from abovo.errors import AbovoError, Unreachable
from abovo.provenance.hashing import sha256_file
from abovo.settings.place import Place

# What is taken for text in a folder. A file of the second kinds often is something else there, so it is looked into,
# and a .raw file is read only where it is named; so is a .md file, where whole rows are wanted.
IN_FOLDERS, LOOKED_INTO = ("txt", "md", "jsonl", "ndjson", "parquet"), ("json", "csv", "tsv")
# Kinds of files of lines, which are cut where they are large.
LINES, TEXT_LINES = ("jsonl", "ndjson"), ("txt", "raw", "md")


def open_files(place: Place, revision: Mapping[str, Any] | None, rules: Rules):
    """Open one path or a list of them; a folder stands for every file in it that can be read.

    With a known `revision` a file is hashed only before it is read, and must be the one of that time; what is not read
    was counted when it was resolved.
    """
    files, unread = _found(place.paths, rules.column, rules.endings, count=revision is None)
    if revision is None:
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

    return dict(revision), unit_names(revision["files"]), read, unread


def _describe(files: Mapping[str, Path], rules: Rules) -> list[dict[str, Any]]:
    described: list[dict[str, Any]] = []
    parquet = [name for name in files if kind_of(name, rules.endings)[0] == "parquet"]
    for name, path in sorted(files.items()):
        item: dict[str, Any] = {"name": name, "sha256": "", "bytes": path.stat().st_size}
        kind, packing = kind_of(name, rules.endings)
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


def find_files(paths: str | Sequence[str], column: str | None, endings: Sequence[str] = ()) -> dict[str, Path]:
    """Files by a name without the folders above the path given, so that ids do not tell where a machine keeps them.

    `column` is that of the text, None where whole rows are wanted; with `endings` a folder stands for files with these.
    """
    return _found(paths, column, endings, count=False)[0]


def _found(
    paths: str | Sequence[str], column: str | None, endings: Sequence[str], *, count: bool
) -> tuple[dict[str, Path], Unread]:
    """The files that are read, and how many others there are, by what they are."""
    found: dict[str, Path] = {}
    unread: dict[str, dict[str, int]] = {}
    for given in map(Path, [paths] if isinstance(paths, str) else paths):
        if given.is_dir():
            own, others = _in_folder(given, column, endings)
            if not own:
                known = f"endings: {', '.join(endings)}" if endings else f"known: {', '.join(IN_FOLDERS + LOOKED_INTO)}"
                held = f"; it holds {told(_counted(others))}" if others else ""
                what = f"the folder holds no file of text ({known}{held})"
                also = "" if column is None else " or `endings`"
                raise AbovoError(what, shown(given), f"name another folder, or set `column`{also}")
            for what, one in _counted(others).items() if count else ():
                sums = unread.setdefault(what, {"files": 0, "bytes": 0})
                unread[what] = {key: sums[key] + one[key] for key in sums}
        elif given.is_file():
            if not kind_of(given.name, endings)[0]:
                mend = "convert it" if column is None else "convert it, or name its ending in `endings` if it is text"
                raise AbovoError(f"no reader for this kind of file (known: {KNOWN})", shown(given), mend)
            own = {given.name: given}
        else:
            mend = "mend the source's `paths`"
            if given.exists():
                raise AbovoError("is neither a file nor a folder", shown(given), mend)
            raise Unreachable("the file does not exist", shown(given), mend)
        twice = sorted(own.keys() & found.keys())
        if twice:
            mend = "name the folder above both, so that their names differ"
            raise AbovoError(f"two files are named {twice[0]}: {found[twice[0]]} too", own[twice[0]], mend)
        found.update(own)
    for path in found.values():
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise AbovoError("the name of the file is not UTF-8", shown(path), "rename it") from None
    return found, dict(sorted(unread.items()))


def _in_folder(folder: Path, column: str | None, endings: Sequence[str]) -> tuple[dict[str, Path], list[Entry]]:
    """The files that are read, by name, and the others, each with what it is."""
    own: dict[str, Path] = {}
    others: list[Entry] = []
    for entry in walk(folder):
        what = entry.why or _no_text(entry, column, endings)
        if what:
            others.append(entry._replace(why=what))
        else:
            own[entry.name] = entry.path
    return dict(sorted(own.items())), others


def _no_text(entry: Entry, column: str | None, endings: Sequence[str]) -> str:
    """Why a file of a folder is not taken for text; "" where it is."""
    if endings:
        ending = entry.path.name.lower().removesuffix(".gz").removesuffix(".zst").rpartition(".")[2]
        return "" if ending in endings else suffix_of(entry.name)
    kind = kind_of(entry.path.name)[0]
    if kind in LOOKED_INTO:
        missing = "records" if column is None else f"a column {column!r}"
        return "" if has_records(entry.path, column) else f".{kind} without {missing}"
    return "" if kind in IN_FOLDERS and (kind, column) != ("md", None) else suffix_of(entry.name)


def _counted(others: Sequence[Entry]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for entry in others:
        sums = counts.setdefault(entry.why, {"files": 0, "bytes": 0})
        sums["files"] += 1
        if entry.path.is_file():
            sums["bytes"] += entry.path.stat().st_size
    return counts
