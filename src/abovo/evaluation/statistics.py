"""Turn what each item adds to a metric into a value with a 95 % interval."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.95
Z95 = 1.959963984540054
Interval = tuple[float, float]


@dataclass(frozen=True)
class Scores:
    """What each item adds to a metric; its value is sum(parts) / sum(wholes).

    Bits and bytes of documents, right answers and ones of questions, nats and targets of rows. Items of one of the
    `clusters` (questions about one document, say) are not independent of each other; `ids` say which items these are.
    """

    parts: Sequence[float]
    wholes: Sequence[float]
    clusters: Sequence[Hashable] | None = None
    ids: Sequence[str] | None = None

    def __post_init__(self) -> None:
        columns = (self.parts, self.wholes, self.clusters, self.ids)
        if len({len(column) for column in columns if column is not None}) > 1 or not len(self.parts):
            raise ValueError("scores need a part, a whole and a cluster for each of at least one item")

    @property
    def value(self) -> float:
        return math.fsum(self.parts) / math.fsum(self.wholes)

    @cached_property
    def grouped(self) -> "tuple[np.ndarray, np.ndarray]":
        """Parts and wholes of each cluster, in the order in which clusters first appear."""
        import numpy as np

        parts, wholes = np.asarray(self.parts, np.float64), np.asarray(self.wholes, np.float64)
        if self.clusters is None:
            return parts, wholes
        numbers: dict[Hashable, int] = {}
        places = np.array([numbers.setdefault(name, len(numbers)) for name in self.clusters])
        return np.bincount(places, parts).astype(np.float64), np.bincount(places, wholes).astype(np.float64)

    @property
    def clustered(self) -> bool:
        """Whether any two items share a cluster."""
        return len(self.grouped[0]) < len(self.parts)


@dataclass(frozen=True)
class Spread:
    """The variance of a ratio's value, and how many degrees of freedom it was estimated with."""

    variance: float
    freedom: float

    @property
    def half(self) -> float:
        """Half of the 95 % interval."""
        return quantile(self.freedom) * math.sqrt(self.variance)


def spread(scores: Scores) -> Spread | None:
    """The linearised variance of sum(parts) / sum(wholes) over clusters, or over items where there are none; None for
    one alone.

    A ratio is the mean of part/whole weighted by whole, so its residuals are corrected by their leverage (HC2) and the
    degrees of freedom are those of Bell and McCaffrey (2002) for values that spread alike: n - 1 where all wholes are
    equal, fewer where a few long documents decide. With bits per byte of documents of very unequal length its t
    interval covers .94 to .98 from 5 documents on, where the percentile bootstrap covers .67 to .92 and BCa less.
    """
    parts, wholes = scores.grouped
    if len(parts) < 2:
        return None
    total = wholes.sum()
    leverage = wholes / total
    weight = 1 / (1 - leverage)
    residuals = parts - parts.sum() / total * wholes
    variance = float((weight * residuals**2).sum() / total**2)
    # trace(M)**2 / trace(M @ M) of M = sqrt(weight) (I - leverage 1') diag(wholes**2) (I - 1 leverage') sqrt(weight),
    # written out so that no matrix of n x n is made
    squares = leverage**2
    sum_squares = squares.sum()
    own = squares * (sum_squares - 2 * leverage)
    a, b, c = (weight * squares).sum(), (weight * squares**2).sum(), (weight * leverage * squares).sum()
    trace = (weight * (squares + own)).sum()
    of_square = (weight**2 * squares * (squares + 2 * own)).sum()
    of_square += 2 * a * b + (sum_squares * a) ** 2 + 2 * c**2 - 4 * sum_squares * a * c
    return Spread(variance, float(trace**2 / of_square))


def quantile(freedom: float) -> float:
    """Student's t that 2.5 % lie above."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def ratio_interval(scores: Scores) -> tuple[Interval | None, str]:
    """The 95 % interval of a ratio of sums, and how it was made; None where one document alone tells no spread."""
    found = spread(scores)
    if found is None:
        return None, "none: one item alone tells no spread"
    how = f"t of the linearised ratio over {_items(scores)}, HC2, {found.freedom:.3g} degrees of freedom"
    return (scores.value - found.half, scores.value + found.half), how


def proportion_interval(scores: Scores) -> tuple[Interval, str]:
    """Wilson's 95 % interval of a share of items, and how it was made; of clusters of items on an effective n."""
    right, n = math.fsum(scores.parts), len(scores.parts)
    if not scores.clustered:
        return wilson(right, n), "Wilson"
    fewer, t = effective(scores)
    how = f"Wilson on an effective n of {fewer:.4g} over {_items(scores)}"
    return wilson(right * fewer / n, fewer, t), how


def effective(scores: Scores) -> tuple[float, float]:
    """(effective number of items, Student's t) of a mean of items that may share clusters.

    The design effect is the ratio estimator's variance over that of as many independent items; never below 1, so never
    more than all items. Where all items are alike nothing tells how much the clusters matter, and each counts once.
    """
    import numpy as np

    n = len(scores.parts)
    if not scores.clustered:
        return float(n), Z95
    parts, sizes = np.asarray(scores.parts, np.float64), scores.grouped[1]
    whole = spread(scores)
    simple = float(((parts - parts.mean()) ** 2).sum() / (n * (n - 1)))
    if whole is None:
        return 1.0, quantile(1)
    found = (
        float(sizes.sum() ** 2 / (sizes**2).sum())
        if simple == 0
        else n * min(1.0, simple / max(whole.variance, 1e-300))
    )
    return min(float(n), found), quantile(whole.freedom)


def wilson(right: float, n: float, z: float = Z95) -> Interval:
    """The 95 % score interval of a proportion (Wilson 1927); it stays inside 0..1 and is honest at small n."""
    if n == 0:
        return 0.0, 1.0
    share, square = right / n, z * z
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = z * math.sqrt(max(0.0, share * (1 - share)) / n + square / (4 * n * n)) / (1 + square / n)
    # the ends are exact where rounding would leave the value just outside
    return (max(0.0, centre - half) if right else 0.0), (min(1.0, centre + half) if right < n else 1.0)


def combined(
    values: Sequence[float], intervals: Sequence[Interval], weights: Sequence[float]
) -> tuple[float, Interval]:
    """(sum of weights * values, its 95 % interval) of independent values whose intervals need not be symmetric, by
    recovering their variances from their limits (Zou and Donner 2008); `weights` are not negative."""
    value = math.fsum(weight * one for weight, one in zip(weights, values, strict=True))
    triples = list(zip(weights, values, intervals, strict=True))
    below = math.hypot(*(weight * (one - low) for weight, one, (low, _) in triples))
    above = math.hypot(*(weight * (high - one) for weight, one, (_, high) in triples))
    return value, (value - below, value + above)


def _items(scores: Scores) -> str:
    groups = len(scores.grouped[0])
    return f"{groups} documents" if scores.clustered else f"{groups} items"


def metric(
    value: float,
    n: int,
    unit: str,
    interval: Interval | None,
    method: str,
    baseline: Mapping[str, float],
    **more: Any,
) -> dict[str, Any]:
    """One entry of `metrics`: `n` counts `unit`s, `baseline` maps the names of trivial predictors to their values."""
    return {
        "value": rounded(value),
        "n": n,
        "unit": unit,
        "interval": None if interval is None else ends(interval),
        "interval_method": method,
        "baseline": {name: rounded(number) for name, number in baseline.items()},
        **more,
    }


def ends(interval: Iterable[float]) -> list[float]:
    return [rounded(end) for end in interval]


def rounded(value: float) -> float:
    """Nine significant digits: enough for every comparison, and the same text on every machine that adds alike."""
    return float(f"{value:.9g}")
