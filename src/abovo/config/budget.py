"""Turn a token budget into optimizer steps: steps always derive from tokens, never the other way round."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from abovo.errors import AbovoError
from abovo.settings.training import Training

# By how much the shares of a run's phases may miss 1 in all.
SLACK = 1e-6
# Repeated up to so many times, text teaches nearly what as much new text does (Muennighoff et al., arXiv:2305.16264).
USEFUL_EPOCHS = 4
REPEATED = f"beyond {USEFUL_EPOCHS} times repeated text teaches less and less (arXiv:2305.16264)"


class Stretch(Protocol):
    """A phase: its name, and its share of the whole budget."""

    @property
    def name(self) -> str: ...
    @property
    def share(self) -> float: ...


class Budgeted(Protocol):
    """A run, or a training job: a budget that its phases share."""

    @property
    def tokens(self) -> int: ...
    @property
    def sequence_length(self) -> int: ...
    @property
    def training(self) -> Training: ...
    @property
    def phases(self) -> Sequence[Stretch]: ...


@dataclass(frozen=True)
class Budget:
    """The steps of a run and of each of its phases (`phases` in order; all phases of a run sum to `steps`)."""

    steps: int
    tokens_per_step: int
    phases: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Tokens that the steps really see: the budget rounded up to whole steps."""
        return self.steps * self.tokens_per_step


def budget(run: Budgeted, where: str = "settings", part: str = "") -> Budget:
    """Steps for the `tokens` of a run at its recipe's `batch_tokens` per step.

    A phase ends at the step nearest to its cumulated share of the run, so rounding never adds up, and the phases after
    it, which need not be given, do not matter.
    `part` stands before the keys that errors name.
    Raises AbovoError where a batch is no multiple of the rows' length, or a phase would have no step.
    """
    batch, length = run.training.batch_tokens, run.sequence_length
    key = f"{where}, key {part}training.batch_tokens"
    if not isinstance(batch, int):
        raise AbovoError(f"is {batch} where steps are reckoned", key, "give it a number")
    if batch % length:
        nearest = max(length, round(batch / length) * length)
        raise AbovoError(f"{batch} is no multiple of the sequence length {length}", key, f"use {nearest}")
    steps = -(-run.tokens // batch)
    ends, share = [0], 0.0
    for phase in run.phases:
        share += phase.share
        ends.append(steps if share > 1 - SLACK else round(share * steps))
    lengths = tuple(end - start for start, end in itertools.pairwise(ends))
    for phase, count in zip(run.phases, lengths, strict=True):
        if count < 1:
            raise AbovoError(
                f"phase {phase.name} has no step of {batch} tokens",
                f"{where}, key phases",
                "give it a larger share or the run more tokens",
            )
    return Budget(steps, batch, lengths)


def asked_budget(run: Budgeted, where: str, part: str = "") -> Budget:
    """The same of what a config file asks for. Raises AbovoError, too, where that is less than a row."""
    if run.tokens < run.sequence_length:
        what = f"a budget of {run.tokens} tokens is less than one row of {run.sequence_length}"
        raise AbovoError(what, f"{where}, key {part}tokens", "name more tokens")
    return budget(run, where, part)


def times_drawn(phases: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """How often phases together go through each set of text (epochs), from how often each of them does."""
    times: dict[str, float] = {}
    for phase in phases:
        for name, epochs in phase.items():
            times[name] = times.get(name, 0.0) + epochs
    return times
