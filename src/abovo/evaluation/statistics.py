"""Turn per-item scores into values with 95 % intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Z95 = 1.959963984540054
Interval = tuple[float, float]


@dataclass(frozen=True)
class Scores:
    """What each item adds to a metric; its value is sum(parts) / sum(wholes).

    Bits and bytes of documents, right answers and ones of questions, nats and targets of rows.
    """

    parts: Sequence[float]
    wholes: Sequence[float]

    @property
    def value(self) -> float:
        return sum(self.parts) / sum(self.wholes)


def wilson(right: float, n: int) -> Interval:
    """The 95 % score interval of a proportion (Wilson 1927); it stays inside 0..1 and is honest at small n."""
    if n == 0:
        return 0.0, 1.0
    share, square = right / n, Z95 * Z95
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = Z95 * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    # the ends are exact where rounding would leave the value just outside
    return (max(0.0, centre - half) if right else 0.0), (min(1.0, centre + half) if right < n else 1.0)


def bootstrap(scores: Scores, draws: int, seed: int) -> Interval:
    """The 95 % percentile interval of the scores' value over resampled items."""
    low, high = np.quantile(_resampled(scores, draws, seed), (0.025, 0.975))
    return float(low), float(high)


def paired_difference(before: Scores, after: Scores, draws: int, seed: int) -> Interval:
    """The 95 % interval of after - before over the same items, each draw resampling both alike.

    Pairing takes out how hard the items are, so it sees a change that is far smaller than either interval is wide.
    """
    if len(before.parts) != len(after.parts):
        raise ValueError("a paired difference needs the same items twice")
    changes = _resampled(after, draws, seed) - _resampled(before, draws, seed)
    low, high = np.quantile(changes, (0.025, 0.975))
    return float(low), float(high)


def _resampled(scores: Scores, draws: int, seed: int) -> np.ndarray:
    parts, wholes = np.asarray(scores.parts, np.float64), np.asarray(scores.wholes, np.float64)
    random = np.random.default_rng(seed)
    values = np.empty(draws)
    for draw in range(draws):
        rows = random.integers(0, len(parts), len(parts))
        values[draw] = parts[rows].sum() / wholes[rows].sum()
    return values


def metric(
    value: float, n: int, unit: str, interval: Interval, method: str, baseline: Mapping[str, float], **more: Any
) -> dict[str, Any]:
    """One entry of `metrics`: `n` counts `unit`s, `baseline` maps the names of trivial predictors to their values."""
    return {
        "value": rounded(value),
        "n": n,
        "unit": unit,
        "interval": [rounded(end) for end in interval],
        "interval_method": method,
        "baseline": {name: rounded(number) for name, number in baseline.items()},
        **more,
    }


def rounded(value: float) -> float:
    """Nine significant digits: enough for every comparison, and the same text on every machine that adds alike."""
    return float(f"{value:.9g}")
