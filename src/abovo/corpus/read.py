"""Turn one part of a source into a file of cleaned, filtered documents, their keys and bands, and a manifest that
counts what was refused and why.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
import xxhash

from abovo.console.progress import Progress, duration, several
from abovo.corpus.examine import BATCH_CHARACTERS, Examined, Examiner, Measures, TokenCounter, batches
from abovo.corpus.keys import CONTAMINATED, DOCUMENTS, KEY, KeyWriter
from abovo.corpus.parts import ROW_BITS, Division, part_records
from abovo.corpus.reading import Portion, Reading, check_source
from abovo.corpus.refused import RefusedWriter
from abovo.corpus.shards import FAST_LEVEL, Document, compressed
from abovo.corpus.sources import Source, open_source, ordered_units
from abovo.errors import AbovoError
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.corpus import Corpus

log = logging.getLogger("abovo")
# Batch in which a source approaches the tokens that it stops at (characters).
SMALLEST = 1 << 13


@dataclass
class Tally:
    """What happened to the records that were read."""

    read: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    replaced: int = 0
    cut: int = 0
    documents: int = 0
    characters: int = 0
    bytes: int = 0
    tokens: int = 0

    def counts(self) -> dict[str, Any]:
        own = {key: getattr(self, key) for key in ("read", "documents", "characters", "bytes", "tokens")}
        return {
            **own, "rejected": dict(sorted(self.rejected.items())), "replaced_u2581": self.replaced,
            "decontamination_cut": self.cut,
        }  # fmt: skip


def read_source(
    corpus: Corpus, name: str, part: int, plan: Manifest, measures: Measures, output: Path, script: Script | Path
) -> Manifest:
    """Read, clean and filter one part of the source `name`, at the revision that the corpus' plan resolved.

    With `take: first` reading stops once the part's share of the budget and the reserve is there. Constant memory.
    """
    check_source(corpus, name, plan)
    parts = corpus.sources[name].parts
    if not 0 <= part < parts:
        raise AbovoError(
            f"the source has {several(parts, 'part')}, numbered from 0", f"part {part} of source {name}", "check it"
        )
    source = open_source(corpus.sources[name], plan["sources"][name]["revision"])
    reading = Reading.of(corpus, name, source.revision)
    likely = _tokens_of_a_unit(plan["sources"][name]) if reading.stop_tokens and parts > 1 else None

    def make(folder: Path) -> Made:
        return write_part(source, reading, Portion(part, parts, likely=likely), measures, folder)

    own = {**reading.parameters, "part": part, "parts": parts, "unit_tokens": likely}
    return produce(Job(output, "abovo/source/1", measures.inputs, own, script), make)


def _tokens_of_a_unit(plan: Mapping[str, Any]) -> float | None:
    """What a unit of the source holds by its plan, half of it to be on the safe side."""
    held = plan["available_documents"]
    return held and round(held * plan["pass_rate"] * plan["tokens_per_document"]["mean"] / plan["units"] / 2)


def write_part(source: Source, reading: Reading, portion: Portion, measures: Measures, folder: Path) -> Made:
    """Write the documents of a portion of the source, until all parts together have about the tokens that are enough.

    No unit is begun before which there is enough where units hold what is likely.
    """
    units = ordered_units(source, reading.source.take, reading.seed)
    stop = portion.enough if portion.enough is not None else reading.stop_tokens
    division = Division.of(units, portion.part, portion.parts, reading.max_samples)
    writer = PartWriter(folder, reading, measures.count)
    refused = RefusedWriter(folder, reading.stop_tokens is not None)
    examiner = Examiner(reading, measures.decontaminator)
    progress = Progress(f"source {reading.name}, part {portion.part}")
    until = None

    def missing(unit: int) -> float:
        """Tokens that this part has to find up to the unit, before all parts together have enough."""
        return math.inf if stop is None else stop / division.reach(unit) - writer.tally.tokens

    def ends_before(unit: int) -> bool:
        nonlocal until
        sure = stop is not None and portion.likely is not None and unit * portion.likely >= stop
        if sure or (writer.tally.tokens and missing(unit - 1) <= 0):
            until = unit << ROW_BITS
        return until is not None

    def wanted() -> int:
        """Characters to be read next: about those that are missing, in ever smaller batches."""
        return BATCH_CHARACTERS if stop is None else max(SMALLEST, round(missing(at) * 2))

    at = portion.part if division.by_unit else 0
    found = part_records(source, units, division, reading.max_samples, portion.start, ends_before)
    with writer, refused:
        for batch in batches(found, wanted):
            examined = examiner.examine(batch)
            writer.write(examined)
            refused.write(examined.verdicts)
            at = batch[-1].order >> ROW_BITS
            progress.update(writer.line(None if stop is None else writer.tally.tokens + round(missing(at))))
            if missing(at) <= 0:
                until = until or batch[-1].order + 1
                break
    tally = writer.tally
    size = f"{tally.tokens:,} tokens, {tally.bytes / 1e6:.1f} MB"
    progress.close(f"{tally.read:,} read, {tally.documents:,} kept, {size}")
    if not tally.documents and portion.parts == 1 and not portion.start:
        raise AbovoError(nothing_left(tally.read, tally.rejected), f"source {reading.name}", NOTHING_MEND)
    return Made(tally.counts(), {"until": until, "reasons": list(refused.reasons)})


NOTHING_MEND = "check the source's settings, its filters and their thresholds, min_characters and max_characters"


def nothing_left(read: int, rejected: Mapping[str, int]) -> str:
    reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(rejected.items())) or "none read"
    return f"no document is left after the filters (read {read}; {reasons})"


class PartWriter:
    """Writes the accepted documents of examined batches, their keys and bands, and keeps the tally."""

    def __init__(self, folder: Path, reading: Reading, count: TokenCounter) -> None:
        self.folder, self.reading, self.count = folder, reading, count
        self.tally, self.started = Tally(), time.monotonic()

    def __enter__(self) -> "PartWriter":
        self.packed = compressed(self.folder / DOCUMENTS, FAST_LEVEL)
        self.file: IO[bytes] = self.packed.__enter__()
        self.keys = KeyWriter(self.folder, self.reading.bands)
        self.shared: IO[bytes] | None = None
        if self.reading.decontaminate:
            self.shared = (self.folder / CONTAMINATED).open("wb")
        return self

    def __exit__(self, *error: Any) -> None:
        self.packed.__exit__(*error)
        self.keys.close()
        if self.shared is not None:
            self.shared.close()

    def write(self, examined: Examined) -> None:
        tally, seed = self.tally, self.reading.seed
        for verdict in examined.verdicts:
            tally.read += 1
            tally.replaced += 0 if verdict.reason else verdict.replaced
            if verdict.reason:
                tally.rejected[verdict.reason] += 1
            if verdict.shared is not None and self.shared is not None:
                tally.cut += not verdict.reason
                self.shared.write(orjson.dumps({"id": verdict.id, "position": verdict.order, **verdict.shared}) + b"\n")
        accepted = [verdict for verdict in examined.verdicts if not verdict.reason]
        if not accepted:
            return
        tokens = self.count([verdict.text for verdict in accepted])
        rows = []
        lines = []
        for verdict, number in zip(accepted, tokens, strict=True):
            # By the text itself: which of texts that are compared as equal comes first depends on nothing else.
            place = xxhash.xxh3_64_intdigest(xxhash.xxh3_128_digest(verdict.data), seed)
            high, low = int.from_bytes(verdict.digest[:8], "big"), int.from_bytes(verdict.digest[8:], "big")
            rows.append((verdict.order, place, high, low, number, len(verdict.data)))
            lines.append(Document(verdict.id, verdict.text, self.reading.name, number).line())
            tally.characters += len(verdict.text)
            tally.bytes += len(verdict.data)
            tally.tokens += number
        self.file.write(b"".join(lines))
        self.keys.write(np.array(rows, KEY), examined.bands)
        tally.documents += len(accepted)

    def line(self, stop: int | None) -> str:
        """What a person wants to know of a long read: how far, how fast, how long still."""
        tally, seconds = self.tally, max(1e-9, time.monotonic() - self.started)
        kept = tally.documents / max(1, tally.read)
        text = (
            f"{several(tally.documents, 'document')} ({kept:.0%} of {tally.read:,}), {several(tally.tokens, 'token')}"
        )
        text += f", {tally.bytes / 1e6 / seconds:.1f} MB/s"
        if stop is not None and tally.tokens:
            text += f", {duration(seconds * max(0, stop - tally.tokens) / tally.tokens)} left"
        return text


def merged_counts(manifests: Sequence[Manifest]) -> dict[str, Any]:
    """The counts of all parts of a source together."""
    totals: dict[str, Any] = {"rejected": Counter()}
    for manifest in manifests:
        for key, value in manifest["counts"].items():
            if key == "rejected":
                totals["rejected"].update(value)
            else:
                totals[key] = totals.get(key, 0) + value
    return {**totals, "rejected": dict(sorted(totals["rejected"].items()))}
