"""Turn the losses of a run into the reasons to end it early: validation that gets no better, training that diverges."""

import math
import statistics
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from abovo.settings.training import SpikeGuard as Guard
from abovo.settings.training import Training


@dataclass(frozen=True)
class Best:
    """The best validation so far, and how many came after it."""

    step: int
    loss: float
    since: int


def best_validation(rows: Iterable[Mapping[str, Any]], least_gain: float) -> Best | None:
    """The last row that was better than all before it by more than `least_gain` nats; None without a validation.

    `rows` are those of metrics.jsonl, which a resumed run has as well: nothing else needs to be remembered.
    """
    best: Best | None = None
    for row in rows:
        if "validation_loss" not in row:
            continue
        if best is None or row["validation_loss"] < best.loss - least_gain:
            best = Best(row["step"], row["validation_loss"], 0)
        else:
            best = Best(best.step, best.loss, best.since + 1)
    return best


def is_over(best: Best | None, patience: int) -> bool:
    """Whether `patience` validations in a row brought nothing (Prechelt 1998, Early stopping - but when?)."""
    return best is not None and best.since >= patience


@dataclass(frozen=True)
class Ending:
    """The last step of a finished run, the step whose weights it has, and what its manifest says of an early end
    (nothing where it was not early)."""

    step: int
    weights_of: int
    fields: Mapping[str, Any]


def ending(rows: Sequence[Mapping[str, Any]], recipe: Training, steps: int) -> Ending:
    """How a run of `steps` planned steps ended, told from the rows of its metrics.jsonl."""
    last = rows[-1]["step"]
    if last == steps:
        return Ending(steps, steps, {})
    stopping = recipe.early_stopping
    best = best_validation(rows, stopping.least_gain)
    assert best is not None
    early = {"step": last, "planned_steps": steps, "weights_of_step": best.step, "patience": stopping.patience}
    return Ending(last, best.step, {"stopped_early": early, "validation_loss": best.loss})


class SpikeGuard:
    """Tells when losses stay above `factor` times the median of the last `window` for `steps` steps in a row."""

    def __init__(self, settings: Guard) -> None:
        self.factor, self.steps = settings.factor, settings.steps
        self.losses: deque[float] = deque(maxlen=settings.window)
        self.above = 0

    def add(self, loss: float) -> bool:
        """Whether this loss completes a spike. Until there are `steps` losses to compare with, none does."""
        if self.factor is None:
            return False
        known = len(self.losses) >= self.steps
        if known and loss > self.factor * statistics.median(self.losses):
            self.above += 1  # and the loss stays out of the median
        else:
            self.above = 0
            self.losses.append(loss)
        return self.above >= self.steps

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"losses": list(self.losses), "above": self.above}

    def load(self, state: Mapping[str, Any]) -> None:
        self.losses.clear()
        self.losses.extend(state["losses"])
        self.above = state["above"]


def is_finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)
