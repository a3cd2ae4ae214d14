"""How often 95 % intervals of a ratio over documents hold the truth, by the way in which they are made.

python benchmarks/interval_coverage.py [--draws 2000] [--documents 5 10 30 62]

Documents have lognormal lengths and bits per byte that vary and fall with length. `ours` is the interval of
abovo.evaluation.statistics; the others resample documents, or take Student's t with n - 1 degrees of freedom.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
Ends = tuple[float, float]
Interval = Callable[[np.ndarray, np.ndarray, np.random.Generator], Ends]
LEVELS = (0.025, 0.975)
# Documents behind the truth, and resamples behind an interval.
WHOLE, RESAMPLES = 2_000_000, 300


def documents(random: np.random.Generator, n: int, unequal: float) -> tuple[np.ndarray, np.ndarray]:
    """Bits and bytes of `n` documents; `unequal` is the sigma of their lengths on the log scale."""
    place = random.standard_normal(n)
    sizes = np.maximum(20, np.round(np.exp(7.5 + unequal * place)))
    return (2 + 0.4 * (-0.4 * place + 0.9165 * random.standard_normal(n))) * sizes, sizes


def ours(parts: np.ndarray, sizes: np.ndarray, _: np.random.Generator) -> Ends:
    from abovo.evaluation.statistics import Scores, ratio_interval

    found = ratio_interval(Scores(parts, sizes))[0]
    assert found is not None, "one document alone has no interval"
    return found


def percentile(parts: np.ndarray, sizes: np.ndarray, random: np.random.Generator) -> Ends:
    low, high = np.quantile(_resampled(parts, sizes, random)[0], LEVELS)
    return float(low), float(high)


def students(parts: np.ndarray, sizes: np.ndarray, _: np.random.Generator) -> Ends:
    from scipy.stats import t

    value, error = _value(parts, sizes), _error(parts, sizes)
    half = float(t.ppf(LEVELS[1], len(parts) - 1)) * error
    return value - half, value + half


def bootstrap_t(parts: np.ndarray, sizes: np.ndarray, random: np.random.Generator) -> Ends:
    value, error = _value(parts, sizes), _error(parts, sizes)
    values, rows = _resampled(parts, sizes, random)
    errors = np.array([_error(parts[row], sizes[row]) for row in rows])
    low, high = np.quantile((values - value) / np.maximum(errors, 1e-12), LEVELS)
    return value - float(high) * error, value - float(low) * error


def bca(parts: np.ndarray, sizes: np.ndarray, random: np.random.Generator) -> Ends:
    """Bias-corrected and accelerated (Efron 1987)."""
    from scipy.stats import bootstrap

    def ratio(parts: np.ndarray, sizes: np.ndarray, axis: int = -1) -> np.ndarray:
        return parts.sum(axis) / sizes.sum(axis)

    found = bootstrap((parts, sizes), ratio, paired=True, n_resamples=RESAMPLES, method="BCa", rng=random)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


INTERVALS: dict[str, Interval] = {
    "ours": ours, "percentile": percentile, "BCa": bca, "t, n - 1": students, "bootstrap-t": bootstrap_t,
}  # fmt: skip


def coverage(
    random: np.random.Generator, n: int, draws: int, unequal: float, intervals: dict[str, Interval]
) -> dict[str, float]:
    """The share of `draws` samples of `n` documents whose interval holds the value of all documents."""
    whole = documents(random, WHOLE, unequal)
    truth, held = _value(*whole), dict.fromkeys(intervals, 0)
    for _ in range(draws):
        parts, sizes = documents(random, n, unequal)
        for name, interval in intervals.items():
            low, high = interval(parts, sizes, random)
            held[name] += low <= truth <= high
    return {name: count / draws for name, count in held.items()}


def _value(parts: np.ndarray, sizes: np.ndarray) -> float:
    return float(parts.sum() / sizes.sum())


def _error(parts: np.ndarray, sizes: np.ndarray) -> float:
    """The standard error of the linearised ratio, without a correction."""
    n = len(parts)
    residuals = (parts - _value(parts, sizes) * sizes) / sizes.mean()
    return float(np.sqrt((residuals**2).sum() / (n * (n - 1))))


def _resampled(parts: np.ndarray, sizes: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    rows = random.integers(0, len(parts), (RESAMPLES, len(parts)))
    return parts[rows].sum(1) / sizes[rows].sum(1), rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000, help="samples of each number of documents (default: 2000)")
    parser.add_argument("--documents", type=int, nargs="+", default=[5, 10, 30, 62], help="how many are in a sample")
    parser.add_argument("--unequal", type=float, default=1.2, help="sigma of lengths on the log scale (default: 1.2)")
    options = parser.parse_args()
    random = np.random.default_rng(1)
    print("documents  " + "  ".join(f"{name:>11}" for name in INTERVALS))
    for n in options.documents:
        found = coverage(random, n, options.draws, options.unequal, INTERVALS)
        print(f"{n:9}  " + "  ".join(f"{share:11.3f}" for share in found.values()), flush=True)


if __name__ == "__main__":
    main()
