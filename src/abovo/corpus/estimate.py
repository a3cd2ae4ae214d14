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
from abovo.settings.corpus import Corpus

NORMAL_95 = 1.959964
HOW = "found in the sample and scaled as pairs, since a sample rarely holds both; 95 % interval of a Poisson count"
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


def widened(
    interval: tuple[float, float, float], values: np.ndarray, weights: np.ndarray, drawn: float
) -> tuple[float, float]:
    """The interval of a mean (mean, low, high) as that of the mean of so many values that are drawn by lot."""
    mean, low, high = interval
    variance = float((weights * (values - mean) ** 2).sum() / weights.sum())
    lot = NORMAL_95 * math.sqrt(variance / max(1.0, drawn))
    return max(mean - math.hypot(mean - low, lot), mean / 100), mean + math.hypot(high - mean, lot)


class Removed(NamedTuple):
    """Of a source's `documents` in the sample those removed as (equal to, like) another one: of the same source, or of
    one before it."""

    documents: int
    within: tuple[int, int]
    across: tuple[int, int]

    @property
    def share(self) -> float:
        return sum(self.within + self.across) / self.documents


class Size(NamedTuple):
    """Documents of a source that pass its filters (`all`), and those that the corpus is to keep; `spread` where these
    are chosen by the hash of their texts."""

    all: float
    kept: float
    spread: bool


def removed_in_sample(corpus: Corpus, parts: Sequence[Part], folder: Path) -> dict[str, Removed]:
    """What the corpus' own rule removes from the samples, of all sources together and of each by itself."""
    found = {}
    together = _chosen(corpus, parts, folder / "all")
    for number, (part, share) in enumerate(zip(parts, together, strict=True)):
        (alone,) = _chosen(corpus, [replace(part, number=0)], folder / f"alone-{number}")
        within = (min(alone.exact, share.exact), min(alone.near, share.near))
        across = (share.exact - within[0], share.near - within[1])
        found[part.source] = Removed(part.documents, within, across)
    return found


def _chosen(corpus: Corpus, parts: Sequence[Part], folder: Path) -> list[Share]:
    memory = corpus.deduplication.memory_mb
    counts = shared_documents(parts, memory, folder)
    shares = [Share(part.source, [part], corpus.sources[part.source].take, None) for part in parts]
    choose(shares, SharedDocuments([folder], [counts["groups"]], [counts["exact_groups"]]), memory)
    return shares


def duplicates_expected(removed: Mapping[str, Removed], sizes: Mapping[str, Size], name: str) -> dict[str, Any]:
    """How many documents of a source the corpus will lose to others; `sizes` of it and of the sources before it.

    A small sample rarely holds both of two documents that are alike, so the share found in it is too small. If such
    documents come in pairs, a sample of a share s of the documents holds s x s of the pairs; what was found is scaled
    by that, with the interval of a Poisson count. Pairs remove half of the documents at most. Larger clusters make this
    too many, and records that stand side by side are not a random sample of pairs: it is a range, no forecast.
    """
    own, size = removed[name], sizes[name]
    before = [other for other in sizes if other != name]
    drawn = sum(removed[other].documents for other in before)
    others = Size(
        sum(sizes[other].all for other in before), sum(sizes[other].kept for other in before),
        all(sizes[other].spread for other in before),
    )  # fmt: skip
    values = [0.0, 0.0, 0.0]
    for counts, number, partner in ((own.within, own.documents, size), (own.across, drawn, others)):
        if number:
            for count, equal in zip(counts, (True, False), strict=True):
                scale = _pairs(size, partner, equal) / own.documents / number
                values = [value + scale * bound for value, bound in zip(values, _poisson(count), strict=True)]
    least, most = own.share * size.kept, size.kept / 2
    mean, low, high = (round(max(least if value else 0, min(most, value))) for value in values)
    exact, near = (inside + outside for inside, outside in zip(own.within, own.across, strict=True))
    in_sample = {
        "documents": own.documents, "exact": exact, "near": near, "like_another_source": sum(own.across),
        "share": round(own.share, 6),
    }  # fmt: skip
    return {"in_sample": in_sample, "documents": {"mean": mean, "interval": [low, high]}, "estimate": HOW}


def _pairs(one: Size, other: Size, equal: bool) -> float:
    """How many pairs of a document each the parts of two sources that a corpus keeps have in common.

    Equal texts have equal hashes, so where hashes choose, both of a pair are chosen or none.
    """
    if equal and one.spread and other.spread:
        return one.all * other.all * min(one.kept / one.all, other.kept / other.all)
    return one.kept * other.kept


def _poisson(count: int) -> tuple[float, float, float]:
    """A count and its 95 % interval (quantiles of chi-squared by Wilson and Hilferty 1931)."""

    def quantile(free: int, z: float) -> float:
        return free * (1 - 2 / (9 * free) + z * math.sqrt(2 / (9 * free))) ** 3 / 2

    return count, quantile(2 * count, -NORMAL_95) if count else 0.0, quantile(2 * count + 2, NORMAL_95)
