"""Turn the scores of two models on the same items into their difference, with a verdict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from abovo.errors import AbovoError
from abovo.evaluation.measures import CAPPED, HIGHEST, Measure
from abovo.evaluation.statistics import Interval, Scores, combined, effective, ends, rounded, spread

NOISE, HIGHER, LOWER = "within noise", "higher", "lower"
LEVEL = 0.05
# Differences below this share of the value are what another order of adding may make.
RESOLUTION = 1e-6


@dataclass(frozen=True)
class Difference:
    """A value after less before, its 95 % interval (None where nothing tells it) and what may be said of it."""

    value: float
    interval: Interval | None
    method: str
    verdict: str
    p: float | None = None
    test: str | None = None
    better: bool | None = None

    def entry(self) -> dict[str, Any]:
        """As results hold it."""
        found: dict[str, Any] = {
            "value": rounded(self.value),
            "interval": None if self.interval is None else ends(self.interval),
            "interval_method": self.method,
            "verdict": self.verdict,
        }
        if self.p is not None:
            found |= {"p": rounded(self.p), "test": self.test}
        return found | ({} if self.better is None else {"better": self.better})


def paired_difference(task: str, measure: Measure, before: Scores, after: Scores) -> Difference:
    """What changed from `before` to `after` on the same items.

    Pairing takes out how hard the items are, so it sees a change that is far smaller than either interval is wide.
    A direction is claimed only where interval and test both allow it. Raises AbovoError, which names the `task`, where
    the items are not the same.
    """
    check_same(task, before, after)
    value = measure.value(after) - measure.value(before)
    interval, method = change(measure, before, after)
    if measure.form == "ratio":
        return judged(measure, value, interval, method, measure.value(before))
    p, test = exact_test(before, after)
    if interval is not None and p >= LEVEL and not interval[0] <= 0 <= interval[1]:
        interval = (min(0.0, interval[0]), max(0.0, interval[1]))
        method += ", widened to 0 as the test does not reject"
    return judged(measure, value, interval, method, measure.value(before), p, test)


def mean_difference(
    name: str, measure: Measure, pairs: Sequence[tuple[Scores, Scores]], weights: Sequence[float]
) -> Difference:
    """The same of a weighted sum over sets of items, such as the mean of the sets of a task: sets are fixed, items are
    not, and how much each set changed is known as well as its own interval says."""
    before = math.fsum(weight * measure.value(one) for weight, (one, _) in zip(weights, pairs, strict=True))
    values, intervals = [], []
    for one, other in pairs:
        check_same(name, one, other)
        interval, _ = change(measure, one, other)
        values.append(measure.value(other) - measure.value(one))
        if interval is not None:
            intervals.append(interval)
    if len(intervals) < len(values):
        value = math.fsum(weight * one for weight, one in zip(weights, values, strict=True))
        return judged(measure, value, None, "none: a set of one item alone tells no spread", before)
    value, interval = combined(values, intervals, weights)
    method = f"from the limits of the changes of {len(pairs)} sets (Zou and Donner 2008)"
    return judged(measure, value, interval, method, before)


def change(measure: Measure, before: Scores, after: Scores) -> tuple[Interval | None, str]:
    """The 95 % interval of the change of a value on the same items, and how it was made."""
    if measure.form == "proportion":
        return proportion_change(before, after)
    changes = _changes(before, after)
    found = spread(changes)
    if found is None:
        return None, "none: one item alone tells no spread"
    low, high = changes.value - found.half, changes.value + found.half
    method = f"paired t of the linearised ratio, HC2, {found.freedom:.3g} degrees of freedom"
    if not measure.exponent:
        return (low, high), method
    value = measure.value(before)
    most = math.exp(HIGHEST)
    ends = [value * math.expm1(min(end, HIGHEST)) for end in (low, high)]
    method += ", on the log scale, at the value before" + (CAPPED if max(ends) > most else "")
    return (min(ends[0], most), min(ends[1], most)), method


def judged(
    measure: Measure,
    value: float,
    interval: Interval | None,
    method: str,
    before: float,
    p: float | None = None,
    test: str | None = None,
) -> Difference:
    """The difference with its verdict."""
    clear = interval is not None and not interval[0] <= 0 <= interval[1] and abs(value) > RESOLUTION * abs(before)
    if not clear or (p is not None and p >= LEVEL):
        return Difference(value, interval, method, NOISE, p, test)
    verdict = HIGHER if value > 0 else LOWER
    return Difference(
        value, interval, method, verdict, p, test, None if not measure.better else verdict == measure.better
    )


def check_same(task: str, before: Scores, after: Scores) -> None:
    """Fail unless both are scores of the same items: as many, of equal ids and equal wholes."""
    mend = "evaluate both models again with the same sets"
    if len(before.parts) != len(after.parts):
        what = f"{len(before.parts)} rows were scored before and {len(after.parts)} after"
        raise AbovoError(what, f"task {task}", mend)
    for kind, one, other in (("id", before.ids, after.ids), ("size", before.wholes, after.wholes)):
        if one is None or other is None:
            continue
        for number, (left, right) in enumerate(zip(one, other, strict=True), 1):
            if left != right:
                what = f"row {number} was measured on another item than before ({kind} {left} before, {right} after)"
                raise AbovoError(what, f"task {task}", mend)


def proportion_change(before: Scores, after: Scores) -> tuple[Interval, str]:
    """The 95 % interval of the change of a share of the same items (Tango 1998), and how it was made; where items share
    clusters, on an effective n."""
    changes = _changes(before, after)
    fewer, t = effective(changes)
    share = fewer / len(changes.parts)
    won = math.fsum(part for part in changes.parts if part > 0) * share
    lost = -math.fsum(part for part in changes.parts if part < 0) * share
    how = f" on an effective n of {fewer:.4g} over {len(changes.grouped[0])} documents" if changes.clustered else ""
    return tango(won, lost, fewer, t), f"Tango's score interval of paired shares{how}"


def tango(won: float, lost: float, n: float, z: float) -> Interval:
    """The score interval of (won - lost) / n among n pairs of which `won` and `lost` differ (Tango 1998)."""

    def score(change: float) -> float:
        linear = -won - lost + (2 * n - won + lost) * change
        root = math.sqrt(max(0.0, linear**2 + 8 * n * lost * change * (1 - change)))
        variance = n * ((root - linear) / (2 * n) + change * (1 - change))
        distance = won - lost - n * change
        if variance <= 0:
            return math.copysign(math.inf, distance) if distance else 0.0
        return distance / math.sqrt(variance)

    def end(near: float, far: float) -> float:
        for _ in range(60):
            middle = (near + far) / 2
            near, far = (middle, far) if abs(score(middle)) <= z else (near, middle)
        return near

    value = (won - lost) / n
    return end(value, -1.0), end(value, 1.0)


def exact_test(before: Scores, after: Scores) -> tuple[float, str]:
    """(p, name) of the exact two-sided test that neither model is the better one.

    Where the models are alike, what a document won or lost could as well have been the other way: all signs of the
    documents' changes are equally likely. With documents of one row each that is McNemar's exact test, and with ties
    that count half still a test of the same difference.
    """
    import numpy as np

    changes = np.rint(2 * _changes(before, after).grouped[0]).astype(np.int64)
    sizes, counts = np.unique(np.abs(changes[changes != 0]), return_counts=True)
    name = "exact test of the signs of documents" if _changes(before, after).clustered else "McNemar, exact"
    if len(sizes) > 1 and "signs" not in name:
        name = "exact test of signs, ties half"
    # the step between sums is twice the largest common size
    unit = int(np.gcd.reduce(sizes)) if len(sizes) else 1
    likely = np.ones(1)
    for size, count in zip(sizes // unit, counts, strict=True):
        one = np.zeros(int(size * count) + 1)
        one[::size] = _halves(int(count))
        likely = np.convolve(likely, one)
    reached = abs(int(changes.sum())) // unit
    total = len(likely) - 1
    tail = likely[(total + reached + 1) // 2 :].sum()
    return (min(1.0, 2 * float(tail)) if reached else 1.0), name


def _halves(count: int) -> Any:
    """The binomial distribution of `count` tosses of a fair coin."""
    import numpy as np
    from scipy.special import gammaln

    heads = np.arange(count + 1)
    return np.exp(gammaln(count + 1) - gammaln(heads + 1) - gammaln(count - heads + 1) - count * math.log(2))


def _changes(before: Scores, after: Scores) -> Scores:
    parts = [later - earlier for earlier, later in zip(before.parts, after.parts, strict=True)]
    return Scores(parts, after.wholes, after.clusters)
