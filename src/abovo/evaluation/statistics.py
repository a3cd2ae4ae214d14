"""Turn per-item scores into values with 95 % intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Z95 = 1.959963984540054
Interval = tuple[float, float]


def wilson(right: float, n: int) -> Interval:
    """The 95 % score interval of a proportion (Wilson 1927); it stays inside 0..1 and is honest at small n."""
    if n == 0:
        return 0.0, 1.0
    share, square = right / n, Z95 * Z95
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = Z95 * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap_ratio(numerators: Sequence[float], denominators: Sequence[float], samples: int, seed: int) -> Interval:
    """The 95 % percentile interval of sum(numerators) / sum(denominators) over resampled documents."""
    upper, lower = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    random = np.random.default_rng(seed)
    ratios = np.empty(samples)
    for sample in range(samples):
        rows = random.integers(0, len(upper), len(upper))
        ratios[sample] = upper[rows].sum() / lower[rows].sum()
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)


def bootstrap_mean(values: Sequence[float], samples: int, seed: int) -> Interval:
    return bootstrap_ratio(values, [1.0] * len(values), samples, seed)


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
