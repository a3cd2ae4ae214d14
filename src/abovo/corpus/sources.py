"""Turn the settings of a source into a stream of its texts or of its whole rows: the table of source types.

A source is read unit by unit (a file, a run of row groups, an address), and each unit is a generator, so that no
source is ever held in memory. Units do not depend on each other, so any of them can be read apart.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import xxhash

from abovo.corpus.folders import Unread, told
from abovo.corpus.records import WHOLE, Record, Row, Rules
from abovo.errors import AbovoError
from abovo.provenance.tables import Table
from abovo.settings import corpus
from abovo.settings.decontamination import EvaluationSet
from abovo.settings.instruction import Records
from abovo.settings.task import TaskSource

log = logging.getLogger("abovo")


@dataclass(frozen=True)
class Source:
    """An opened source: what exactly it is (`revision`, part of the fingerprint), its `units` and how to `read` one.

    `read(unit, start=0)` leaves out the first `start` records of the unit. Who stops iterating reads nothing more.
    `unread` counts what its folders hold besides; it is known where the revision was not given.
    """

    revision: dict[str, Any]
    units: tuple[str, ...]
    read: Callable[..., Iterator[Record]]
    unread: Unread = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """An opened source of whole rows: its `revision`, a fresh pass over all of them, in its order, and what its folders
    hold besides (`unread`)."""

    revision: dict[str, Any]
    read: Callable[[], Iterator[Row]]
    unread: Unread = field(default_factory=dict)


# type of source -> function that opens it: (settings, known revision or None, rules) -> fields of `Source`
TYPES: Table[Callable[..., tuple]] = Table(
    {
        "package": "abovo.corpus.packages:open_packages",
        "local": "abovo.corpus.local:open_files",
        "huggingface": "abovo.corpus.hub:open_dataset",
    },
    chosen_by=("sources.*.type", "sets.*.type", "source.type"),
)


def open_source(settings: corpus.Source, revision: Mapping[str, Any] | None = None) -> Source:
    """Open a source of texts; `revision` is one that an earlier job resolved and that must be the one read now."""
    source = Source(*TYPES[settings.type](settings, revision, Rules.of(settings)))
    if revision is not None and source.revision != revision:
        what = "is not what it was when the corpus was planned"
        raise AbovoError(what, f"source of type {settings.type}", "remove the corpus' plan.json to plan it anew")
    return source


def open_rows(settings: Records | EvaluationSet | TaskSource, by_line: bool = True) -> Rows:
    """Open a source of whole rows: instruction data, evaluation sets. All damage ends the reading with an error.

    A file of text gives a row per line, or is one row where it is not read `by_line`.
    """
    source = Source(*TYPES[settings.type](settings, None, replace(WHOLE, documents="line" if by_line else "file")))
    read: Callable[[str], Iterator[Any]] = source.read
    return Rows(source.revision, lambda: (row for unit in source.units for row in read(unit)), source.unread)


def tell_unread(name: str, unread: Unread) -> None:
    """Say on the screen what of a source's folders is not read."""
    if unread:
        log.warning("%s, not read: %s", name, told(unread))


def ordered_units(source: Source, order: str, seed: int) -> list[str]:
    """The units in reading order: as they come (`first`), or shuffled by the hash of seed and name (`spread`)."""
    if order == "first":
        return list(source.units)
    return sorted(source.units, key=lambda unit: (xxhash.xxh3_64_intdigest(f"{seed}/{unit}".encode()), unit))
