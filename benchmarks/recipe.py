"""Turn a token budget into how many of its tokens the shipped recipe needs for the loss that a tuned AdamW ends with.

The baseline is the same architecture with AdamW and initial weights as nanoGPT has them, at the best of its learning
rates for the whole budget. The recipe's learning rate falls to zero at the end of every run, so the recipe is trained
at several budgets of its own, each to its end, and the budget with the baseline's final loss is read off between the
two that enclose it (straight in the logarithm).
"""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from trained import Runs, Settings, model, run_settings, training

LENGTH, BATCH_TOKENS = 256, 4096
# 3,222,336 parameters at 4,096 pieces
SHAPE = {"hidden_size": 192, "layers": 6, "heads": 6, "key_value_heads": 3, "head_dim": 32, "feed_forward": 512}
RATES = (0.0015, 0.003, 0.006)
WARMUP_SHARE = 0.08
BASELINE = {
    "optimizer.kind": "adamw", "optimizer.betas": [0.9, 0.95], "optimizer.weight_decay": 0.1, "gradient_clip": 1.0,
    "schedule.kind": "cosine", "schedule.final_share": 0.1,
}  # fmt: skip
SHARES = (0.16, 0.22)
# Beyond the shares that were asked for, one more by this factor until the baseline's loss is enclosed
STEP, LIMITS = 1.3, (0.1, 1.3)
COMMON = {
    "batch_tokens": BATCH_TOKENS, "micro_batch_sequences": BATCH_TOKENS // LENGTH, "tensorboard": False,
    "validation_interval": 10**6, "checkpoint_interval": 50,
}  # fmt: skip


def baseline(tokens: int, rate: float, seed: int) -> Settings:
    warmup = round(WARMUP_SHARE * tokens / BATCH_TOKENS)
    values = {**COMMON, **BASELINE, "optimizer.learning_rate": rate, "schedule.warmup_steps": warmup}
    shape = model({**SHAPE, "residual_init": "scaled"})
    return run_settings(shape, training("seed", values), tokens, LENGTH, seed)


def recipe(name: str, tokens: int, seed: int) -> Settings:
    """config/training/{name}.yaml and tiny's initial weights, at another batch; the warm-up, made for thousands of
    steps, shrinks with the run."""
    shipped = training(name, {})
    steps = tokens / BATCH_TOKENS
    warmup = min(shipped["schedule"]["warmup_steps"], round(WARMUP_SHARE / 2 * steps))
    values = {**COMMON, "schedule.warmup_steps": warmup}
    return run_settings(model(SHAPE), training(name, values), tokens, LENGTH, seed)


def whole_steps(tokens: float) -> int:
    return max(1, round(tokens / BATCH_TOKENS)) * BATCH_TOKENS


def tune(runs: Runs, tokens: int, seed: int) -> dict[float, float]:
    """Final validation loss by learning rate; one rate is added beyond an edge as long as the best is there."""
    rates = list(RATES)
    while True:
        results = runs.results([baseline(tokens, rate, seed) for rate in rates])
        losses = {rate: result["validation_loss"] for rate, result in zip(rates, results, strict=True)}
        best = min(losses, key=losses.__getitem__)
        if min(rates) < best < max(rates) or len(rates) > len(RATES) + 2:
            return dict(sorted(losses.items()))
        rates.append(best * 2 if best == max(rates) else best / 2)


def compare(runs: Runs, name: str, tokens: int, seeds: Sequence[int], shares: Sequence[float]) -> dict[str, Any]:
    """The recipe's share of the baseline's tokens per seed, with all the losses that it was read from."""
    tokens = whole_steps(tokens)
    tuned = tune(runs, tokens, seeds[0])
    rate = min(tuned, key=tuned.__getitem__)
    targets = [result["validation_loss"] for result in runs.results([baseline(tokens, rate, seed) for seed in seeds])]
    wanted = [(seed, share) for seed in seeds for share in shares]
    results = runs.results([recipe(name, whole_steps(share * tokens), seed) for seed, share in wanted])
    found: dict[int, dict[float, float]] = {seed: {} for seed in seeds}
    for (seed, _), result in zip(wanted, results, strict=True):
        found[seed][result["tokens"] / tokens] = result["validation_loss"]
    for seed, target in zip(seeds, targets, strict=True):
        while (share := _missing(found[seed], target)) is not None:
            result = runs.results([recipe(name, whole_steps(share * tokens), seed)])[0]
            found[seed][result["tokens"] / tokens] = result["validation_loss"]
    ratios = [share_at(found[seed], target) for seed, target in zip(seeds, targets, strict=True)]
    return {
        "tokens": tokens,
        "tuned": tuned,
        "baseline": dict(zip(seeds, targets, strict=True)),
        "recipe": {seed: dict(sorted(losses.items())) for seed, losses in found.items()},
        "ratios": ratios,
        "ratio": interval(ratios),
    }


def _missing(losses: Mapping[float, float], target: float) -> float | None:
    """The next share to train where all losses found are on one side of the target."""
    low, high = min(losses), max(losses)
    if losses[low] <= target and low / STEP >= LIMITS[0]:
        return low / STEP
    if losses[high] > target and high * STEP <= LIMITS[1]:
        return high * STEP
    return None


def share_at(losses: Mapping[float, float], target: float) -> float:
    """The share at which the losses, falling with the share, reach the target; by the two nearest points."""
    points = sorted(losses.items())
    pairs = list(itertools.pairwise(points))
    enclosing = [pair for pair in pairs if pair[0][1] > target >= pair[1][1]]
    (low, above), (high, below) = enclosing[0] if enclosing else pairs[0 if points[0][1] <= target else -1]
    place = (above - target) / (above - below)
    return math.exp(math.log(low) + place * (math.log(high) - math.log(low)))


def interval(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and its 95 % interval by Student's t over the seeds; no interval for one."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return {"mean": mean, "low": None, "high": None}
    from scipy import stats

    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def told(values: Sequence[float], form: str = ".3f") -> str:
    """Mean of values over seeds and its interval in words, each number in a `form`."""
    if lost := sum(not math.isfinite(value) for value in values):
        return f"diverged in {lost} of {len(values)}"
    found = interval(values)
    if found["low"] is None:
        return f"{found['mean']:{form}} (one seed)"
    return f"{found['mean']:{form}} ({found['low']:{form}} to {found['high']:{form}})"
