"""Say which records of a source belong to which of its parts, and in which order they stand.

A record's place is (unit, row): the number of its unit in the source's order and of the record in its unit. It is the
same for any number of parts, so what the parts find together does not depend on how many there are.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from abovo.corpus.examine import Found
from abovo.corpus.sources import Source
from abovo.provenance.manifest import Manifest

ROW_BITS = 32


def part_records(
    source: Source, units: Sequence[str], part: int, parts: int, settings: Mapping[str, Any], start: int = 0
) -> Iterator[Found]:
    """The records of one part, in the source's order, from the place `start` on.

    Where there are enough units each part takes every `parts`-th. A source that stops at a budget, or has fewer units
    than parts, is dealt out record by record: every part then passes over all records, which costs a tenth of what
    cleaning them does, and all parts come equally far. A limit on the records read is kept by one part alone.
    """
    limit = settings["max_samples"]
    if limit is not None and part:
        return
    whole = limit is not None or parts == 1
    by_unit = not whole and settings["stop_tokens"] is None and len(units) >= parts
    left = limit
    for number, unit in enumerate(units):
        if (by_unit and number % parts != part) or (number + 1) << ROW_BITS <= start:
            continue
        # A limit counts from the source's first record, so with one nothing is skipped.
        first = max(0, start - (number << ROW_BITS)) if limit is None else 0
        for row, record in enumerate(islice(source.read(unit, first), left), first):
            if left is not None:
                left -= 1
            place = number << ROW_BITS | row
            if place >= start and (whole or by_unit or row % parts == part):
                yield Found(place, record)


def in_order(corpus: Mapping[str, Any], manifests: Sequence[Manifest]) -> dict[str, list[Manifest]]:
    """The manifests of parts by source, in the order of the configuration and of the parts' numbers."""
    ordered: dict[str, list[Manifest]] = {name: [] for name in corpus["sources"]}
    for manifest in sorted(manifests, key=lambda one: one["parameters"]["part"]):
        ordered.setdefault(manifest["parameters"]["name"], []).append(manifest)
    return ordered
