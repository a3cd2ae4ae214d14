"""Cut the files of a source into units that can be read apart: a file, a run of row groups of a parquet file, or a
range of bytes of a large plain file of lines.

A unit's name is that of its file, or `data/x.parquet@2/5` for the third fifth of the file's row groups (its third range
of bytes). Record ids count the rows or lines of the file, so they do not depend on the cutting.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Sources of fewer parquet files than this are cut finer, so that there is work for as many readers.
FINE = 64
# No file that can be read has a name like this: its ending would be no kind.
PIECE = re.compile(r"(.+)@(\d+)/(\d+)", re.DOTALL)
# Bytes of a plain file of lines that are one unit; a line belongs to the range that it begins in.
RANGE = 64 << 20


def parts(groups: Sequence[int], files: int) -> dict[str, int]:
    """How one of `files` parquet files is cut, given the rows of its row groups."""
    return {"rows": sum(groups), "pieces": max(1, min(len(groups), -(-FINE // files)))}


def unit_names(files: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The units of the files listed in a revision, in their order."""
    names: list[str] = []
    for file in files:
        pieces = file.get("pieces", 1)
        names += [file["name"]] if pieces == 1 else [f"{file['name']}@{k}/{pieces}" for k in range(pieces)]
    return tuple(names)


def cut(unit: str) -> tuple[str, int, int]:
    """(file, piece, pieces) of a unit."""
    match = PIECE.fullmatch(unit)
    return (match[1], int(match[2]), int(match[3])) if match else (unit, 0, 1)
