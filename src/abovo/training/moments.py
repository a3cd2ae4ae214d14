"""Turn amounts of training into the steps after which the model is kept, and refuse text beyond a run's limits."""

import logging
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from abovo.config.budget import Budget
from abovo.errors import AbovoError
from abovo.provenance.manifest import Manifest
from abovo.settings.checkpoints import checkpoint_name
from abovo.settings.job import JobSettings
from abovo.training.order import DataOrder

log = logging.getLogger("abovo")
Words = Mapping[str, int]


@dataclass(frozen=True)
class Moment:
    """A model on the way: its name, the amount that it stands for, and the step after which it is kept, with the tokens
    and the words seen by then (None where sets do not say how many they have)."""

    name: str
    amount: int
    step: int
    tokens: int
    words: int | None


def words_of(sets: Mapping[str, Manifest]) -> Words | None:
    """The words of the training text of each packed set; None where one of them does not say."""
    found = {name: packed["counts"].get("train", {}).get("words") for name, packed in sets.items()}
    return None if None in found.values() else found  # type: ignore[return-value]


def words_seen(order: DataOrder, words: Words, step: int) -> int:
    """Words of the text that the first `step` batches show, each time that they are seen.

    A row counts as many as the rows of its set have in the mean: rows are drawn at random, and after each epoch the
    number is exact.
    """
    drawn = order.drawn_in_all(step)
    return math.floor(sum(Fraction(rows * words[name], order.rows[name]) for name, rows in drawn.items()))


def moments_of(
    settings: JobSettings, plan: Budget, order: DataOrder, words: Words | None, start: int = 0
) -> tuple[Moment, ...]:
    """The models that a job keeps which trains from the step `start` to the end of the last of its phases.

    Each is kept after the first step by which its amount was seen. Raises AbovoError for an amount that the whole
    budget does not reach, with what it does reach.
    """
    asked, last = settings.checkpoints, sum(plan.phases)
    if not asked.all:
        return ()
    where = "settings, key checkpoints"
    if settings.adapters is not None:
        raise AbovoError("adapters are kept at their end alone", where, "leave it out")
    if asked.unit == "words" and words is None:
        raise AbovoError("the packed sets do not say how many words they have", where, "pack them again, or use tokens")

    def seen(step: int) -> int:
        if asked.unit == "tokens":
            return step * plan.tokens_per_step
        assert words is not None
        return words_seen(order, words, step)

    found = []
    for amount in asked.all:
        if amount == asked.end:
            step = plan.steps
        elif seen(last) >= amount:
            step = bisect_left(range(last), amount, key=lambda before: seen(before + 1)) + 1
        elif last < plan.steps:
            continue  # of a later phase
        else:
            what = f"{amount:,} {asked.unit} are not reached: the budget of {plan.tokens:,} tokens ends at"
            mend = "give the run more tokens, or ask for less"
            raise AbovoError(f"{what} {seen(last):,}", f"{where}.at", mend)
        counted = None if words is None or step > last else words_seen(order, words, step)
        found.append(Moment(checkpoint_name(amount), amount, step, step * plan.tokens_per_step, counted))
    return tuple(moment for moment in found if start < moment.step <= last)


def tell_moments(moments: tuple[Moment, ...], label: str) -> None:
    """Log which step each of them is of, and which fall together."""
    for moment in moments:
        counted = "" if moment.words is None else f", {moment.words:,} words"
        log.info("%s: %s is step %d (%s tokens%s)", label, moment.name, moment.step, f"{moment.tokens:,}", counted)
    for step, number in Counter(moment.step for moment in moments).items():
        if number > 1:
            names = ", ".join(moment.name for moment in moments if moment.step == step)
            log.warning("%s: %s are one model, that of step %d: a step is longer than what parts them",
                        label, names, step)  # fmt: skip


def check_limits(settings: JobSettings, plan: Budget, order: DataOrder, words: Words | None) -> None:
    """Raise AbovoError where the text of a job, or how often it is gone through, is beyond its limits."""
    limits, batch = settings.limits, order.batch
    if limits.words is not None:
        where = "settings, key limits.words"
        if words is None:
            raise AbovoError("the packed sets do not say how many words they have", where, "pack them again")
        if sum(words.values()) > limits.words:
            parts = ", ".join(f"{name} {number:,}" for name, number in words.items())
            what = f"the training text has {sum(words.values()):,} words ({parts}), allowed are {limits.words:,}"
            raise AbovoError(what, where, "give its corpora smaller budgets")
    if limits.epochs is not None:
        drawn = order.drawn_in_all(sum(plan.phases))
        for name, rows in drawn.items():
            if rows > limits.epochs * order.rows[name]:
                share = rows / (sum(plan.phases) * batch)
                most = math.floor(limits.epochs * order.rows[name] / share / batch) * plan.tokens_per_step
                what = f"{name} is gone through {rows / order.rows[name]:.4g} times, allowed are {limits.epochs:g}"
                mend = f"lower the budget of {plan.tokens:,} tokens" + (
                    f" to {most:,} at most" if len(drawn) == 1 else ", or the weight of this corpus"
                )
                raise AbovoError(what, "settings, key limits.epochs", mend)
