"""Turn the settings of a source into a stream of records: the table of source types.

A source is read unit by unit (a file, a run of row groups, an address), and each unit is a generator, so that no
source is ever held in memory. Units do not depend on each other, so any of them can be read apart.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from abovo.corpus import hub, local, packages
from abovo.corpus.formats import Record
from abovo.errors import AbovoError


@dataclass(frozen=True)
class Source:
    """An opened source: what exactly it is (`revision`, part of the fingerprint), its `units` and how to `read` one.

    `read(unit, start=0)` leaves out the first `start` records of the unit. Who stops iterating reads nothing more.
    """

    revision: dict[str, Any]
    units: tuple[str, ...]
    read: Callable[..., Iterator[Record]]


# type of source -> function that opens it: (settings, known revision or None) -> (revision, units, read)
TYPES: dict[str, Callable[..., tuple[dict[str, Any], tuple[str, ...], Callable]]] = {
    "package": packages.open_packages,
    "local": local.open_files,
    "huggingface": hub.open_dataset,
}


def open_source(settings: Mapping[str, Any], revision: Mapping[str, Any] | None = None) -> Source:
    """Open a source; `revision` is one that an earlier job resolved and that must be the one read now."""
    source = Source(*TYPES[settings["type"]](settings, revision))
    if revision is not None and source.revision != revision:
        what = "is not what it was when the corpus was planned"
        raise AbovoError(what, f"source of type {settings['type']}", "remove the corpus' plan.json to plan it anew")
    return source


def ordered_units(source: Source, order: str, seed: int) -> list[str]:
    """The units in reading order: as they come (`first`), or shuffled by the hash of seed and name (`spread`)."""
    if order == "first":
        return list(source.units)
    return sorted(source.units, key=lambda unit: (xxhash.xxh3_64_intdigest(f"{seed}/{unit}".encode()), unit))


def records(source: Source, units: list[str], limit: int | None) -> Iterator[tuple[str, Record]]:
    """(unit, record) for at most `limit` records."""
    found = ((unit, record) for unit in units for record in source.read(unit))
    return itertools.islice(found, limit)
