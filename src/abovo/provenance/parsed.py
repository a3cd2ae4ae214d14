"""Turn source files into their statements once: what was read stays beside the bytecode until the source changes."""

import dataclasses
import functools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from abovo.provenance import syntax
from abovo.provenance.hashing import sha256_bytes
from abovo.provenance.syntax import Entries, Statement, statements


def read_statements(path: Path, watching: tuple[str, ...]) -> tuple[Statement, ...]:
    """As `syntax.statements`, from `__pycache__` where it was read before; written there where that is allowed."""
    key = sha256_bytes(path.read_bytes() + _reader() + " ".join(watching).encode())
    place = path.parent / "__pycache__" / f"{path.stem}.statements.json"
    try:
        kept = json.loads(place.read_bytes())
        if kept["key"] == key:
            return tuple(map(_statement, kept["statements"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass  # read for the first time, or by another version
    found = statements(path, watching)
    _keep(place, {"key": key, "statements": [dataclasses.asdict(one) for one in found]})
    return found


@functools.cache
def _reader() -> bytes:
    """What reads sources: other code of it may find other statements, as another Python may."""
    return Path(syntax.__file__).read_bytes() + sys.version.encode()


def _statement(kept: dict[str, Any]) -> Statement:
    tables = tuple(
        Entries(one["entries"], tuple(one["chosen_by"]), {name: tuple(group) for name, group in one["groups"].items()})
        for one in kept["tables"]
    )
    binds, uses = frozenset(kept["binds"]), frozenset(kept["uses"])
    return Statement(binds, uses, tuple(kept["imports"]), tables, kept["digest"])


def _keep(place: Path, content: Any) -> None:
    """Several processes may write at once; a folder that may not be written to costs time only."""
    try:
        place.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=place.parent, delete=False) as file:
            json.dump(content, file, default=sorted)
        Path(file.name).replace(place)
    except OSError:
        pass
