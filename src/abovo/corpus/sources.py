"""Turn the settings of a source into a stream of records: the table of source types.

A source is read unit by unit (a file, an address, a stream), and each unit is a generator, so that no source is ever
held in memory.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import xxhash

from abovo.corpus import hub, local, packages


class Record(NamedTuple):
    """A document as found: its id and its text, None where the source holds nothing."""

    id: str
    text: str | None


@dataclass(frozen=True)
class Source:
    """An opened source: what exactly it is (`revision`, part of the fingerprint), its `units` and how to `read` one."""

    revision: dict[str, Any]
    units: tuple[str, ...]
    read: Callable[[str], Iterator[tuple[str, str | None]]]


# type of source -> function that opens it: (settings, known revision or None) -> (revision, units, read)
TYPES: dict[str, Callable[..., tuple[dict[str, Any], tuple[str, ...], Callable]]] = {
    "package": packages.open_packages,
    "local": local.open_files,
    "huggingface": hub.open_dataset,
}


def open_source(settings: Mapping[str, Any], revision: Mapping[str, Any] | None = None) -> Source:
    """Open a source; `revision` is one that an earlier job resolved and that must be the one read now."""
    return Source(*TYPES[settings["type"]](settings, revision))


def ordered_units(source: Source, order: str, seed: int) -> list[str]:
    """The units in reading order: as they come (`first`), or shuffled by the hash of seed and name (`spread`)."""
    if order == "first":
        return list(source.units)
    return sorted(source.units, key=lambda unit: (xxhash.xxh3_64_intdigest(f"{seed}/{unit}".encode()), unit))


def records(source: Source, units: list[str], limit: int | None) -> Iterator[tuple[str, Record]]:
    """(unit, record) for at most `limit` records."""
    found = ((unit, Record(*item)) for unit in units for item in source.read(unit))
    return itertools.islice(found, limit)
