"""Turn a token budget into optimizer steps: steps always derive from tokens, never the other way round."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from abovo.errors import AbovoError

# By how much the shares of a run's phases may miss 1 in all.
SLACK = 1e-6


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


def budget(run: Mapping[str, Any]) -> Budget:
    """Steps for `run["tokens"]` at `run["training"]["batch_tokens"]` tokens per step.

    A phase ends at the step nearest to its cumulated share of the run, so rounding never adds up, and the phases after
    it, which need not be given, do not matter.
    Raises AbovoError where a batch is no multiple of the rows' length, or a phase would have no step.
    """
    batch, length = run["training"]["batch_tokens"], run["sequence_length"]
    where = f"config/training/{run['training'].get('name', '?')}.yaml, key batch_tokens"
    if batch % length:
        nearest = max(length, round(batch / length) * length)
        raise AbovoError(f"{batch} is no multiple of the sequence length {length}", where, f"use {nearest}")
    steps = -(-run["tokens"] // batch)
    ends, share = [0], 0.0
    for phase in run["phases"]:
        share += phase["share"]
        ends.append(steps if share > 1 - SLACK else round(share * steps))
    lengths = tuple(end - start for start, end in itertools.pairwise(ends))
    for phase, count in zip(run["phases"], lengths, strict=True):
        if count < 1:
            raise AbovoError(
                f"phase {phase['name']} has no step of {batch} tokens",
                f"config/runs/{run.get('name', '?')}.yaml, key phases",
                "give it a larger share or the run more tokens",
            )
    return Budget(steps, batch, lengths)
