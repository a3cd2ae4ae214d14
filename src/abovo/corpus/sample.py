"""Turn a source into a small sample of its records, drawn from several of its units and from all that was read of them.

How much is read is bounded by bytes and by units. Within what is read of a unit each record is as likely as any other
(reservoir sampling, Vitter 1985, algorithm R), and seed and names alone decide which are drawn.
"""

import random
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from abovo.corpus.examine import Found
from abovo.corpus.parts import ROW_BITS, Division, part_records
from abovo.corpus.readers import kind_of
from abovo.corpus.sources import Source
from abovo.corpus.units import cut

# Units that the sample is divided among, which for a data set of the hub is also the most that are opened.
UNITS = 16
# Of the text that may be read for a sample, the part that is read where it has to be fetched; and the drawn text that
# is held at once (bytes).
FETCHED, HELD = 1 / 8, 32_000_000


@dataclass(frozen=True)
class Stretch:
    """What was read of a unit for the sample: the unit's number in the order of reading, the places of the drawn
    records, how many records and bytes of text were read, and about how many the unit holds (None: nothing tells)."""

    unit: int
    places: list[int]
    read: int
    bytes: int
    held: float | None


@dataclass(frozen=True)
class Sampling:
    """How many records (`size`) are drawn, from how much text (bytes), with a `limit` on the records that count."""

    size: int
    bytes: float
    seed: int
    limit: int | None = None


Drawn = tuple[Stretch, list[Found]]


def draw(source: Source, units: Sequence[str], how: Sampling, remote: bool) -> Iterator[Drawn]:
    """The sample unit by unit, a unit's in memory at a time: an equal share from each of the first `UNITS` in reading
    order, then of the next ones while records are missing, which happens where units are small."""
    if how.limit is not None:
        yield from _draw_first(source, units, how)
        return
    sizes, most = Sizes.of(source.revision), min(len(units), UNITS if remote else how.size)
    opened, missing, left = 0, how.size, how.bytes * (FETCHED if remote else 1)
    while opened < most and missing > 0 and left > 0:
        end = min(most, opened + UNITS)
        for number in range(opened, end):
            quota, budget = -(-missing // (end - number)), left / (end - number)
            records = (Found(number << ROW_BITS | row, one) for row, one in enumerate(source.read(units[number])))
            chosen, read, size, ended = _reservoir(records, quota, budget, f"{how.seed}/{units[number]}")
            missing, left = missing - len(chosen), left - size
            held = read if ended else sizes.records(units[number], read, size, [one.record.text for one in chosen])
            yield Stretch(number, [one.order for one in chosen], read, size, held), chosen
            if missing <= 0 or left <= 0:
                return
        opened = end


def _draw_first(source: Source, units: Sequence[str], how: Sampling) -> Iterator[Drawn]:
    """The sample where only a source's first records count: drawn from those, whatever units they stand in."""
    found = part_records(source, units, Division.of(units, 0, 1, how.limit), how.limit)
    chosen, read, size, ended = _reservoir(found, how.size, how.bytes, f"{how.seed}")
    held = read if ended else how.limit
    yield Stretch(0, [one.order for one in chosen], read, size, held), chosen


def _reservoir(found: Iterable[Found], quota: int, budget: float, seed: str) -> tuple[list[Found], int, int, bool]:
    """(chosen records in their order, number read, bytes of text read, whether all were read); fewer than `quota` where
    they are too large to be held."""
    lot, read, size, held = random.Random(seed), 0, 0, 0
    chosen: list[Found] = []
    ended = True
    for one in found:
        read += 1
        own = size_of(one)
        size += own
        if len(chosen) < quota:
            chosen.append(one)
            held += own
        elif (place := lot.randrange(read)) < quota:
            held += own - size_of(chosen[place])
            chosen[place] = one
        while held > HELD and len(chosen) > 1:
            held -= size_of(chosen.pop(lot.randrange(len(chosen))))
            quota = len(chosen)
        if size >= budget:
            ended = False
            break
    return sorted(chosen, key=lambda each: each.order), read, size, ended


def size_of(found: Found) -> int:
    """Bytes of a record's text."""
    text = found.record.text
    return 0 if not text else len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True)
class Sizes:
    """What a source's revision tells of its files, by name."""

    files: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, revision: Mapping[str, Any]) -> "Sizes":
        return cls({item["name"]: item for item in revision.get("files", ())})

    def bytes(self, unit: str) -> float | None:
        name, _, pieces = cut(unit)
        return self.files[name]["bytes"] / pieces if name in self.files else None

    def records(self, unit: str, read: int, size: int, texts: Sequence[str | None]) -> float | None:
        """About how many records a unit holds that was not read to its end.

        A parquet file tells. Of another one as much is taken for read as the text does, packed where the file is; that
        counts too many where records hold much besides the text. Packed text is judged by packing some of it.
        """
        name, _, pieces = cut(unit)
        kind, packing = kind_of(name)
        if kind == "parquet":
            rows = self.files[name].get("rows")
            return None if rows is None else rows / pieces
        stored, sample = self.bytes(unit), "\n".join(text for text in texts if text)[:1_000_000].encode()
        if stored is None or not sample:
            return None
        shrinks = len(zlib.compress(sample)) / len(sample) if packing else 1.0
        return max(read, read * stored / max(1.0, size * shrinks))


def available(
    drawn: Sequence[Stretch], units: Sequence[str], revision: Mapping[str, Any], how: Sampling
) -> tuple[int | None, bool]:
    """How many records the source holds, its limit included, and whether they were counted; None: nothing tells."""
    if any(one.held is None for one in drawn):
        return None, False
    held = sum(one.held or 0 for one in drawn)
    if how.limit is not None or len(drawn) == len(units):
        return round(held), all(one.held == one.read for one in drawn)
    sizes = Sizes.of(revision)
    every = [sizes.bytes(unit) or 0.0 for unit in units]
    seen = sum(every[one.unit] for one in drawn)
    if all(every) and seen:
        return round(held * sum(every) / seen), False
    return round(held / len(drawn) * len(units)) if len(drawn) >= 5 else None, False
