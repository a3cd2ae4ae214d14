"""Turn the settings of a corpus and a small sample of each source into the plan of what reading it all will take."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np

from abovo.corpus.estimate import Removed, Size, duplicates_expected, removed_in_sample, weighted_interval, widened
from abovo.corpus.examine import Examiner, Measures, TokenCounter, batches
from abovo.corpus.held_out import likely_unvalidated, tell_unvalidated
from abovo.corpus.keys import DOCUMENTS, KEY, KEYS, Part
from abovo.corpus.ngrams import PlainWords
from abovo.corpus.parts import ROW_BITS
from abovo.corpus.read import NOTHING_MEND, PartWriter
from abovo.corpus.reading import Reading
from abovo.corpus.sample import Sampling, Sizes, Stretch, available, draw, size_of
from abovo.corpus.shards import read_lines, write_lines
from abovo.corpus.shares import source_budget
from abovo.corpus.sources import Source, open_source, ordered_units, tell_unread
from abovo.errors import AbovoError
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.corpus import Corpus
from abovo.settings.keys import decisive

log = logging.getLogger("abovo")
_SAMPLE = ".sample"
# Words of the n-grams that calibration hashes where the corpus is decontaminated.
NGRAM = 13


@dataclass(frozen=True)
class Sample:
    """What was drawn of a source and what became of it: the accepted documents are written as a part of it would be."""

    name: str
    drawn: list[Stretch]
    units: Sequence[str]
    revision: Mapping[str, Any]
    how: Sampling
    part: Part
    keys: np.ndarray
    rejected: Mapping[str, int]
    # Bytes of text examined, of text accepted, and of the accepted documents' file and of a shard that held them.
    examined: int
    accepted: int
    packed: tuple[int, int]
    # CPU-seconds of passing over what was read, and of examining what was drawn.
    passing: float
    examining: float

    @property
    def sampled(self) -> int:
        return sum(len(one.places) for one in self.drawn)

    @property
    def passed(self) -> int:
        return sum(one.bytes for one in self.drawn)


def plan_corpus(corpus: Corpus, measures: Measures, output: Path, script: Script | Path) -> Manifest:
    """Sample `sample_documents` records of each source and write the plan of the corpus.

    Evaluation sets are not looked at. The plan also fixes the revision of every source: the jobs that read them all
    read exactly that one. What depends on a clock stands under `measured`, outside the plan's digest.
    """
    sources = {name: open_source(settings) for name, settings in corpus.sources.items()}
    revisions = {name: source.revision for name, source in sources.items()}
    unread = {name: source.unread for name, source in sources.items()}
    for name, found in unread.items():
        tell_unread(f"source {name}", found)

    def make(folder: Path) -> Made:
        place = folder / _SAMPLE
        samples = [
            _sample(corpus, name, source, measures.count, place / name, number)
            for number, (name, source) in enumerate(sources.items())
        ]
        removed = removed_in_sample(corpus, [sample.part for sample in samples], place)
        rmtree(place)
        plans: dict[str, dict[str, Any]] = {}
        sizes: dict[str, Size] = {}
        for sample in samples:
            plan = _plan_source(corpus, sample, removed, sizes)
            plans[sample.name] = {**plan, "unread": unread[sample.name]}
        expected = {name: plan["documents"]["mean"] for name, plan in plans.items()}
        unvalidated = likely_unvalidated(expected, corpus.validation_share)
        tell_unvalidated(unvalidated)
        fields = {"sources": plans, "unvalidated": unvalidated}
        return Made(_totals(corpus, plans), fields, measured=_measured(samples, plans))

    settings = {**decisive(corpus), "revisions": revisions, "unread": unread}
    return produce(Job(output, "abovo/corpus_plan/2", measures.inputs, settings, script), make)


def _sample(corpus: Corpus, name: str, source: Source, count: TokenCounter, folder: Path, number: int) -> Sample:
    settings, reading = corpus.sources[name], Reading.of(corpus, name, source.revision)
    size = min(corpus.sample_documents, reading.max_samples or corpus.sample_documents)
    how = Sampling(size, corpus.sample_mb * 1e6, corpus.seed, reading.max_samples)
    units = ordered_units(source, settings.take, corpus.seed)
    folder.mkdir(parents=True)
    examiner, writer, drawn = Examiner(reading), PartWriter(folder, reading, count), []
    examined, passing, examining = 0, 0.0, 0.0
    with writer:
        started = time.process_time()
        for stretch, records in draw(source, units, how, settings.type == "huggingface"):
            drawn.append(stretch)
            passing += time.process_time() - started
            for batch in batches(records):
                if not examined:
                    # Once for nothing: what is loaded at first use does not count.
                    count([verdict.text for verdict in examiner.examine(batch).verdicts])
                began = time.process_time()
                found = examiner.examine(batch)
                writer.write(found)
                if reading.decontaminate:
                    # What being looked up in an index of evaluation sets takes, which the plan does not need.
                    for verdict in found.verdicts:
                        PlainWords(verdict.text).hashes(NGRAM)
                examining += time.process_time() - began
                examined += sum(map(size_of, batch))
            started = time.process_time()
    tally = writer.tally
    if not tally.documents:
        why = ", ".join(f"{reason} {number}" for reason, number in sorted(tally.rejected.items()))
        what = f"none of {tally.read} sampled documents passes the filters ({why})"
        raise AbovoError(what, f"source {name}", NOTHING_MEND)
    shard = folder / "shard.jsonl.zst"
    write_lines(shard, read_lines(folder / DOCUMENTS, None, folder))
    manifest = Manifest(
        folder / "manifest.json", {"counts": {"documents": tally.documents}, "outputs": {}, "until": None}
    )
    return Sample(
        name, drawn, units, source.revision, how, Part(number, name, manifest, reading.bands),
        np.fromfile(folder / KEYS, KEY), dict(tally.rejected), examined, tally.bytes,
        ((folder / DOCUMENTS).stat().st_size, shard.stat().st_size), passing, examining,
    )  # fmt: skip


def _plan_source(
    corpus: Corpus, sample: Sample, removed: Mapping[str, Removed], sizes: dict[str, Size]
) -> dict[str, Any]:
    settings, budget, keys = corpus.sources[sample.name], source_budget(corpus, sample.name), sample.keys
    weights = _weights(sample)
    weight = np.array([weights[position] for position in keys["position"].tolist()])
    units = (keys["position"] >> np.uint64(ROW_BITS)).astype(np.int64)
    clusters = units if len(sample.drawn) < len(sample.units) else np.arange(len(keys))
    mean, low, high = weighted_interval(keys["tokens"], weight, clusters)
    pass_rate = float(weight.sum()) / sum(weights.values())
    per_byte = float((weight * keys["bytes"]).sum() / (weight * keys["tokens"]).sum())
    held, counted = available(sample.drawn, sample.units, sample.revision, sample.how)
    at_least = removed[sample.name].share
    reach = None if held is None else round(held * pass_rate * mean * (1 - at_least))
    tokens = reach if budget is None else budget if reach is None else min(budget, reach)
    documents: dict[str, Any] = {"mean": None, "interval": [None, None]}
    duplicates: dict[str, Any] = {"documents": documents}
    if tokens is not None:
        lot = widened((mean, low, high), keys["tokens"], weight, tokens / mean)
        documents = _with_interval(tokens, mean, *lot)
        kept = documents["mean"]
        spread = settings.take == "spread"
        sizes[sample.name] = Size(max(kept, held * pass_rate if held else kept), kept, spread)
        duplicates = duplicates_expected(removed, sizes, sample.name)
    if tokens is not None and budget is not None and settings.take == "first":
        factor = (1 + corpus.reserve) / pass_rate / (1 - at_least)
        to_read = _with_interval(tokens * factor, mean, *lot, held or math.inf)
    else:
        to_read = {"mean": held, "interval": [held, held] if counted else [None, None]}
    per_record = sample.passed / sum(one.read for one in sample.drawn)
    bytes_to_read = None if to_read["mean"] is None else round(to_read["mean"] * per_record)
    kept_bytes = None if tokens is None else round(tokens * per_byte)
    plan = {
        "revision": sample.revision,
        "sampled": sample.sampled,
        "sampled_units": len({place >> ROW_BITS for one in sample.drawn for place in one.places}),
        "units": len(sample.units),
        "pass_rate": round(pass_rate, 6),
        "rejected": dict(sorted(sample.rejected.items())),
        "tokens_per_document": {"mean": round(mean, 3), "interval": [round(low, 3), round(high, 3)]},
        "bytes_per_token": round(per_byte, 6),
        "budget": budget,
        "available_documents": held,
        "tokens": tokens,
        "documents": documents,
        "documents_to_read": to_read,
        "bytes": kept_bytes,
        "bytes_to_read": bytes_to_read,
        "disk_bytes": _disk(sample, to_read["mean"], pass_rate, mean * per_byte, kept_bytes),
        "duplicates": duplicates,
    }
    log.info(
        "plan %s: %.0f tokens per document (95 %% interval %.0f to %.0f), %s tokens from %s documents",
        sample.name, mean, low, high, _number(tokens), _number(to_read["mean"]),
    )  # fmt: skip
    return plan


def _weights(sample: Sample) -> dict[int, float]:
    """How many records of the source each drawn one stands for, by its place; only their ratios are used.

    Where a unit's records are not known, its bytes stand for them.
    """
    sizes, weights = Sizes.of(sample.revision), dict[int, float]()
    known = all(one.held is not None for one in sample.drawn)
    for one in sample.drawn:
        held = one.held
        if not known:
            held = (sizes.bytes(sample.units[one.unit]) or 1) * one.read / max(1, one.bytes)
        weights |= dict.fromkeys(one.places, (held or 0) / max(1, len(one.places)))
    return weights


def _with_interval(tokens: float, mean: float, low: float, high: float, most: float = math.inf) -> dict[str, Any]:
    """Documents that hold so many tokens, by their mean length and its interval."""
    mean, low, high = (math.ceil(min(most, tokens / value)) for value in (mean, high, low))
    return {"mean": mean, "interval": [low, high]}


def _disk(
    sample: Sample, to_read: int | None, pass_rate: float, per_document: float, kept: int | None
) -> dict[str, int | None]:
    """Bytes on the disk: of the shards, and of the parts that they are made of, which are larger."""
    file, shard = sample.packed
    parts = None
    if to_read is not None:
        accepted = to_read * pass_rate
        parts = round(
            accepted * (per_document * file / sample.accepted + KEY.itemsize + 8 * sample.part.bands_per_document)
        )
    return {"shards": None if kept is None else round(kept * shard / sample.accepted), "parts": parts}


def _totals(corpus: Corpus, plans: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over the sources, None where one of them is not known; intervals as of independent sources."""
    own = list(plans.values())
    totals: dict[str, Any] = {key: _sum([plan[key] for plan in own]) for key in ("tokens", "bytes", "bytes_to_read")}
    for key in ("documents", "documents_to_read", "duplicates"):
        parts = [plan[key]["documents"] if key == "duplicates" else plan[key] for plan in own]
        mean = totals[key] = _sum([part["mean"] for part in parts])
        if not any(None in part["interval"] for part in parts):
            below, above = (
                math.sqrt(sum((part["mean"] - part["interval"][side]) ** 2 for part in parts)) for side in (0, 1)
            )
            totals[f"{key}_interval"] = [max(0, math.floor(mean - below)), math.ceil(mean + above)]
    totals["disk_bytes"] = {key: _sum([plan["disk_bytes"][key] for plan in own]) for key in ("shards", "parts")}
    if totals["bytes"] is not None:
        totals["shards"] = max(1, round(totals["bytes"] / (corpus.shard_mb * 1_000_000)))
    return totals


def _measured(samples: Sequence[Sample], plans: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """CPU-seconds of reading and examining the sources, from the sample's: what passing over a MB takes, and what
    examining and writing one does. Comparing and assembling, about a seventh of it, is not in it."""
    sources = {}
    for sample in samples:
        passing = sample.passing / max(1, sample.passed) * 1e6
        examining = sample.examining / max(1, sample.examined) * 1e6
        size = plans[sample.name]["bytes_to_read"]
        sources[sample.name] = {
            "sampled_mb": round(sample.examined / 1e6, 3),
            "cpu_seconds_per_mb": round(passing + examining, 6),
            "cpu_seconds": None if size is None else round(size / 1e6 * (passing + examining), 3),
        }
    total = _sum([one["cpu_seconds"] for one in sources.values()])
    total = None if total is None else round(total, 3)
    return {
        "cpu_seconds": total, "cpu_hours": None if total is None else round(total / 3600, 6), "sources": sources,
    }  # fmt: skip


def _sum(values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _number(value: int | None) -> str:
    return "an unknown number of" if value is None else f"{value:,}"
