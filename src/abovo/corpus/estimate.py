"""Turn counts of a sample into estimates for a whole source: means with intervals, and the duplicates to expect."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from abovo.corpus.choose import Share, SharedDocuments, choose
from abovo.corpus.duplicates import shared_documents
from abovo.corpus.keys import Part

NORMAL_95 = 1.959964
# Fewer clusters than this say nothing of how much clusters differ.
FEWEST = 5


def ratio_interval(totals: Sequence[float], sizes: Sequence[float]) -> tuple[float, float, float]:
    """Mean per element and its 95 % interval from groups of elements (ratio estimator, Cochran 1977, chapter 6).

    The interval is that of Student's t for the number of groups (its expansion about the normal one's).
    """
    number, mean = len(totals), sum(totals) / sum(sizes)
    if number < 2:
        return mean, mean, mean
    per_group = sum(sizes) / number
    spread = sum((total - mean * size) ** 2 for total, size in zip(totals, sizes, strict=True)) / (number - 1)
    free, z = number - 1, NORMAL_95
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    half = t * math.sqrt(spread / number) / per_group
    return mean, max(mean - half, mean / 100), mean + half


def weighted_interval(values: np.ndarray, weights: np.ndarray, clusters: np.ndarray) -> tuple[float, float, float]:
    """Mean of the values, each as often as its weight says, and its 95 % interval; what counts as independent are the
    clusters, where there are enough of them, since documents of one file are alike."""
    if len(np.unique(clusters)) < FEWEST:
        clusters = np.arange(len(values))
    _, number = np.unique(clusters, return_inverse=True)
    totals, sizes = np.bincount(number, values * weights), np.bincount(number, weights)
    return ratio_interval(totals.tolist(), sizes.tolist())


class Removed(NamedTuple):
    """Of a source's `documents` in the sample: those removed as equal to, or like, another one of the sample; `within`
    are removed for one of the same source."""

    documents: int
    exact: int
    near: int
    within: int

    @property
    def share(self) -> float:
        return (self.exact + self.near) / self.documents


def removed_in_sample(corpus: Mapping[str, Any], parts: Sequence[Part], folder: Path) -> dict[str, Removed]:
    """What the corpus' own rule removes from the samples, of all sources together and of each by itself."""
    found = {}
    together = _chosen(corpus, parts, folder / "all")
    for number, (part, share) in enumerate(zip(parts, together, strict=True)):
        (alone,) = _chosen(corpus, [replace(part, number=0)], folder / f"alone-{number}")
        within = min(alone.exact + alone.near, share.exact + share.near)
        found[part.source] = Removed(part.documents, share.exact, share.near, within)
    return found


def _chosen(corpus: Mapping[str, Any], parts: Sequence[Part], folder: Path) -> list[Share]:
    memory = corpus["deduplication"]["memory_mb"]
    counts = shared_documents(parts, memory, folder)
    shares = [Share(part.source, [part], corpus["sources"][part.source]["take"], None) for part in parts]
    choose(shares, SharedDocuments([folder], [counts["groups"]], [counts["exact_groups"]]), memory)
    return shares


def duplicates_expected(
    removed: Mapping[str, Removed], name: str, documents: int | None, before: Mapping[str, Any]
) -> dict[str, Any]:
    """How many documents of a source the corpus will lose to others, of so many that it is to keep.

    A small sample rarely holds both of two documents that are alike, so the share found in it is too small. If such
    documents come in pairs, a sample of a share s of the documents holds s x s of the pairs; what was found is scaled
    by that, with the interval of a Poisson count. Pairs remove half of the documents at most. Larger clusters make this
    too many, and records that stand side by side are not a random sample of pairs: it is a range, no forecast.
    """
    own = removed[name]
    in_sample = {"exact": own.exact, "near": own.near, "documents": own.documents}
    if documents is None:
        return {"in_sample": in_sample, "documents": {"mean": None, "interval": [None, None]}}
    scale, drawn = documents / own.documents, sum(removed[other].documents for other in before)
    others = sum(plan["documents"]["mean"] or 0 for plan in before.values()) / drawn if drawn else 0.0
    across = own.exact + own.near - own.within
    mean, low, high = (
        scale * (scale * inside + others * outside)
        for inside, outside in zip(_poisson(own.within), _poisson(across) if before else (0, 0, 0), strict=True)
    )
    least, most = own.share * documents, documents / 2
    mean, low, high = (round(max(least if value else 0, min(most, value))) for value in (mean, low, high))
    return {"in_sample": in_sample, "documents": {"mean": mean, "interval": [low, high]}}


def _poisson(count: int) -> tuple[float, float, float]:
    """A count and its exact 95 % interval (quantiles of chi-squared by Wilson and Hilferty 1931)."""

    def quantile(free: int, z: float) -> float:
        return free * (1 - 2 / (9 * free) + z * math.sqrt(2 / (9 * free))) ** 3 / 2

    return count, quantile(2 * count, -NORMAL_95) if count else 0.0, quantile(2 * count + 2, NORMAL_95)
