"""Turn the settings of a corpus and a small sample of each source into the plan of what reading it all will take."""

import itertools
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from abovo.corpus.budget import source_budget
from abovo.corpus.examine import Examiner, Found, TokenCounter, batches
from abovo.corpus.read import read_settings
from abovo.corpus.sources import Source, open_source, ordered_units, records
from abovo.errors import AbovoError
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce

log = logging.getLogger("abovo")
NORMAL_95 = 1.959964


def plan_corpus(
    corpus: Mapping[str, Any], count: TokenCounter, inputs: Mapping[str, Manifest], output: Path, script: Path
) -> Manifest:
    """Sample `sample_documents` records of each source and write the plan of the corpus.

    The plan also fixes the revision of every source: the jobs that read them all read exactly that one.
    """
    sources = {name: open_source(settings) for name, settings in corpus["sources"].items()}
    revisions = {name: source.revision for name, source in sources.items()}

    def make(folder: Path) -> Made:
        plans = {name: _plan_source(corpus, name, source, count) for name, source in sources.items()}
        keys = ("tokens", "documents", "bytes")
        totals: dict[str, Any] = {key: _sum([plan[key] for plan in plans.values()]) for key in keys}
        if totals["bytes"] is not None:
            totals["shards"] = max(1, math.ceil(totals["bytes"] / (corpus["shard_mb"] * 1_000_000)))
        for name, plan in plans.items():
            log.info(
                "plan %s: %.0f tokens per document (95 %% interval %.0f to %.0f), %s tokens from %s documents",
                name, plan["tokens_per_document"]["mean"], *plan["tokens_per_document"]["interval"],
                _number(plan["tokens"]), _number(plan["documents_to_read"]["mean"]),
            )  # fmt: skip
        return Made(totals, {"sources": plans})

    settings = {**corpus, "revisions": revisions}
    return produce(Job(output, "abovo/corpus_plan/1", dict(inputs), settings, script), make)


def _plan_source(corpus: Mapping[str, Any], name: str, source: Source, count: TokenCounter) -> dict[str, Any]:
    settings = corpus["sources"][name]
    limit = settings["max_samples"] if settings["max_samples"] is not None else corpus["max_samples"]
    size = corpus["sample_documents"] if limit is None else min(limit, corpus["sample_documents"])
    units = ordered_units(source, settings["take"], corpus["seed"])
    seen: dict[str, list[tuple[int, int]]] = {}
    read = 0
    examiner = Examiner(read_settings(corpus, name, source.revision))
    found = ((unit, record) for unit, record in itertools.islice(records(source, units, None), size))
    for unit, group in itertools.groupby(found, lambda pair: pair[0]):
        for batch in batches(Found(0, record) for _, record in group):
            verdicts = examiner.examine(batch).verdicts
            counts = iter(count([verdict.text for verdict in verdicts if not verdict.reason]))
            passed = [(0, 0) if verdict.reason else (next(counts), len(verdict.data)) for verdict in verdicts]
            seen.setdefault(unit, []).extend(passed)
            read += len(batch)
    sample = [pair for pairs in seen.values() for pair in pairs if pair[0]]
    if not sample:
        mend = "check the source's settings and filters, and min_characters, max_characters"
        raise AbovoError(f"none of {read} sampled documents passes the filters", f"source {name}", mend)
    # Documents of one file are alike, so files, where there are many, are what the interval counts as independent.
    groups = [[pair[0] for pair in pairs if pair[0]] for pairs in seen.values()]
    groups = [group for group in groups if group]
    if len(groups) < 5:
        groups = [[tokens] for tokens, _ in sample]
    mean, low, high = ratio_interval([sum(group) for group in groups], [len(group) for group in groups])
    pass_rate, per_byte = len(sample) / read, sum(size for _, size in sample) / sum(tokens for tokens, _ in sample)
    available = _available(read, len(seen), len(units), size)
    budget = source_budget(corpus, name)
    reach = None if available is None else round(min(available, limit or available) * pass_rate * mean)
    tokens = min(budget, reach) if budget is not None and reach is not None else budget if budget is not None else reach
    needed = None if tokens is None else {
        "mean": math.ceil(tokens / (mean * pass_rate)),
        "interval": [math.ceil(tokens / (high * pass_rate)), math.ceil(tokens / (low * pass_rate))],
    }  # fmt: skip
    return {
        "revision": source.revision,
        "sampled": read,
        "pass_rate": round(pass_rate, 6),
        "tokens_per_document": {"mean": round(mean, 3), "interval": [round(low, 3), round(high, 3)]},
        "bytes_per_token": round(per_byte, 6),
        "budget": budget,
        "available_documents": available,
        "tokens": tokens,
        "documents": None if tokens is None else math.ceil(tokens / mean),
        "documents_to_read": needed or {"mean": None, "interval": None},
        "bytes": None if tokens is None else round(tokens * per_byte),
    }


def ratio_interval(totals: list[int], sizes: list[int]) -> tuple[float, float, float]:
    """Mean per element and its 95 % interval from groups of elements (ratio estimator, Cochran 1977, chapter 6)."""
    number, mean = len(totals), sum(totals) / sum(sizes)
    if number < 2:
        return mean, mean, mean
    per_group = sum(sizes) / number
    spread = sum((total - mean * size) ** 2 for total, size in zip(totals, sizes, strict=True)) / (number - 1)
    half = NORMAL_95 * math.sqrt(spread / number) / per_group
    return mean, max(mean - half, mean / 100), mean + half


def _available(read: int, units_seen: int, units: int, size: int) -> int | None:
    """Records that the source holds: known when the sample reached its end, else from the units that it went through.

    A single unit that was not read to its end tells nothing.
    """
    if read < size:
        return read
    return round(read / units_seen * units) if units_seen >= 5 else None


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _number(value: int | None) -> str:
    return "an unknown number of" if value is None else f"{value:,}"
