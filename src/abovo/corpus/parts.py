"""Say which records of a source belong to which of its parts, and in which order they stand.

A record's place is (unit, row): the number of its unit in the source's order and of the record in its unit. It is the
same for any number of parts, so what the parts find together does not depend on how many there are.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from abovo.corpus.examine import Found
from abovo.corpus.sources import Source
from abovo.provenance.manifest import Manifest
from abovo.settings.corpus import Corpus

ROW_BITS = 32


@dataclass(frozen=True)
class Division:
    """How the records of a source are dealt out to its parts.

    Where there are enough units each part takes every `parts`-th. Otherwise, and where a limit counts the records from
    the source's first one on, records are dealt out one by one, and every part passes over all of them.
    """

    part: int
    parts: int
    by_unit: bool

    @classmethod
    def of(cls, units: Sequence[str], part: int, parts: int, limit: int | None) -> "Division":
        return cls(part, parts, limit is None and len(units) >= parts)

    def takes_unit(self, unit: int) -> bool:
        return not self.by_unit or unit % self.parts == self.part

    def reach(self, unit: int) -> float:
        """How many times what this part has read up to the unit all parts find up to there, if units are alike.

        A part that takes units stops by this: it never waits for another, and reads too much or too little only where
        units differ.
        """
        if not self.by_unit:
            return self.parts
        return (unit + 1) / (unit // self.parts + (unit % self.parts >= self.part))


def part_records(
    source: Source, units: Sequence[str], division: Division, limit: int | None, start: int = 0,
    enough: Callable[[int], bool] = lambda _: False,
) -> Iterator[Found]:  # fmt: skip
    """The records of one part, in the source's order, from the place `start` on; `enough` is asked before each unit.

    `limit` counts the source's records from its first one, whichever part they fall to.
    """
    seen = 0
    for number, unit in enumerate(units):
        if not division.takes_unit(number) or (number + 1) << ROW_BITS <= start:
            continue
        if (limit is not None and seen >= limit) or enough(number):
            return
        # A limit counts from the source's first record, so with one nothing is skipped.
        first = max(0, start - (number << ROW_BITS)) if limit is None else 0
        left = None if limit is None else limit - seen
        for row, record in enumerate(islice(source.read(unit, first), left), first):
            place = number << ROW_BITS | row
            mine = division.by_unit or seen % division.parts == division.part
            seen += 1
            if mine and place >= start:
                yield Found(place, record)


def manifests_of(corpus: Corpus, given: Sequence[Path]) -> list[Path]:
    """The manifests of parts that are given one by one, or as the folder that holds those of all sources: a command of
    thousands of paths is longer than systems allow."""
    if len(given) != 1 or not given[0].is_dir():
        return list(given)
    return [
        given[0] / name / str(part) / "manifest.json"
        for name, source in corpus.sources.items()
        for part in range(source.parts)
    ]


def in_order(corpus: Corpus, manifests: Sequence[Manifest]) -> dict[str, list[Manifest]]:
    """The manifests of parts by source, in the order of the configuration and of the parts' numbers."""
    ordered: dict[str, list[Manifest]] = {name: [] for name in corpus.sources}
    for manifest in sorted(manifests, key=lambda one: one["parameters"]["part"]):
        ordered.setdefault(manifest["parameters"]["name"], []).append(manifest)
    return ordered
