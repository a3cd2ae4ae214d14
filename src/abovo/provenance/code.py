"""Turn a script and its settings into the hash of all code of ours that can change its result.

The hash covers the script and every abovo module that it imports, directly or not, wherever the import statement
stands. Of a table (`provenance.tables`) only the entries that the settings name count, and of a module that is reached
by way of entries alone only the definitions that those need. Layout, comments and what only tells people something do
not count (`provenance.syntax`).
"""

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import abovo
from abovo.provenance.hashing import canonical_json, sha256_json
from abovo.provenance.parsed import read_statements
from abovo.provenance.syntax import Statement
from abovo.provenance.tables import used

PACKAGE = Path(abovo.__file__).parent
# Rooms that only watch: they get values and give back none that is kept. What an error says is for people as well, and
# reading a command line gives the settings and inputs that count by themselves.
WATCHING = ("abovo.cluster", "abovo.console", "abovo.errors", "abovo.training.boards", "abovo.training.watching")
# What names the code and the machine that made an artifact decides none of its bytes either.
NAMING = tuple(
    f"abovo.provenance.{room}"
    for room in ("code", "differences", "environment", "parsed", "requests", "syntax", "tables")
)
# One definition of a module, or all of it.
Place = tuple[str, str | None]
# What settings may say, what that means and how it is checked: the values that a job got count by themselves.
SAID = ("abovo.settings",)


@dataclass(frozen=True)
class Script:
    """A running script: its path, and the settings that it was given on its command line."""

    path: Path
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """The hash of the code that it can reach with its settings, the one that the workflow asked for."""
        return code_hash(self.path, self.settings)


def code_hash(script: Path, settings: Mapping[str, Any] | None = None) -> str:
    """sha256 over the code that `script` can reach with these settings; without any, all entries of tables count."""
    return _code_hash(Path(script), canonical_json(settings or {}))


@functools.cache
def _code_hash(script: Path, settings: bytes) -> str:
    return sha256_json(reached(script, json.loads(settings)))


def reached(script: Path, settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """Module -> hashes of its top-level statements that count, in the module's order; the script is `__main__`."""
    counted: dict[str, set[int]] = {}
    waiting: list[Place] = [("__main__", None)]
    files = {"__main__": Path(script)}
    while waiting:
        module, name = waiting.pop()
        parsed = _module(files.get(module) or _path(module))
        own = counted.setdefault(module, set())
        new = set(_needed(parsed, name)) - own
        own |= new
        for number in new:
            waiting += _leads_to(parsed[number], settings)
    found = {}
    for module, numbers in sorted(counted.items()):
        parsed = _module(files.get(module) or _path(module))
        found[module] = [text for number in sorted(numbers) for text in _counts_as(parsed[number], settings)]
    return found


def _needed(parsed: tuple[Statement, ...], name: str | None) -> Iterable[int]:
    """The statements that make `name`, and what those use; all of them for None. What binds no name always counts."""
    if name is None:
        return range(len(parsed))
    wanted, found = {name}, {number for number, statement in enumerate(parsed) if not statement.binds}
    grown = True
    while grown:
        more = {n for n, one in enumerate(parsed) if n not in found and one.binds & wanted}
        found |= more
        wanted |= {used_name for n in found for used_name in parsed[n].uses}
        grown = bool(more)
    return found


def _leads_to(statement: Statement, settings: Mapping[str, Any]) -> list[Place]:
    places: list[Place] = [(module, None) for module in statement.imports if _is_ours(module)]
    for _, target in _entries(statement, settings) if statement.tables else ():
        module, _, attribute = target.partition(":")
        if _is_ours(module):
            places.append((module, attribute))
    return places


def _counts_as(statement: Statement, settings: Mapping[str, Any]) -> list[str]:
    entries = _entries(statement, settings) if statement.tables else ()
    return [statement.digest, *(f"{name}={target}" for name, target in entries)]


def _entries(statement: Statement, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, module:NAME) of the entries of the statement's tables that the settings name."""
    return [
        (name, table.entries[name])
        for table in statement.tables
        for name in used(list(table.entries), table.chosen_by, table.groups, settings)
    ]


@functools.cache
def _module(path: Path) -> tuple[Statement, ...]:
    return read_statements(path, WATCHING)


@functools.cache
def _is_ours(module: str) -> bool:
    if module.split(".")[0] != "abovo" or module.startswith((*WATCHING, *NAMING, *SAID)):
        return False
    return _path(module).exists()


@functools.cache
def _path(module: str) -> Path:
    place = PACKAGE.joinpath(*module.split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
