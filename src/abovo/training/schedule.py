"""Turn a step into the factors by which peak learning rate, weight decay and auxiliary losses are multiplied."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from abovo.settings.training import Auxiliary, Schedule


@dataclass(frozen=True)
class PhaseSchedule:
    """The schedule of one phase, which lasts from step `first` to `last`: its `own` over its own steps, or one that
    counts all steps of the run."""

    schedule: Schedule
    own: bool
    first: int
    last: int


@dataclass(frozen=True)
class Phased:
    """The schedules of all phases of a run, in their order."""

    phases: tuple[PhaseSchedule, ...]
    kind: str = "phases"
    warmup_steps: int = 0


AnySchedule = Schedule | Phased


def learning_rate_factor(schedule: AnySchedule, step: int, steps: int) -> float:
    """The factor for `step` (1 is the first) of `steps`: a linear warm-up, then the schedule's kind.

    The decay starts at 1 and ends at `final_share` one step after the last, so that no step is spent at zero.
    """
    warmup = schedule.warmup_steps
    if step <= warmup:
        return step / warmup
    return KINDS[schedule.kind](schedule, step - warmup - 1, steps - warmup)


def _constant(schedule: Schedule, step: int, steps: int) -> float:
    return 1.0


def _cosine(schedule: Schedule, step: int, steps: int) -> float:
    final = schedule.final_share
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))


def _wsd(schedule: Schedule, step: int, steps: int) -> float:
    """Warm-up, stable, decay (MiniCPM, arXiv:2404.06395); the 1-sqrt shape is from arXiv:2405.18392."""
    final = schedule.final_share
    decay = max(1, round(schedule.decay_share * steps)) if schedule.decay_share else 0
    done = step - (steps - decay)
    if done < 0:
        return 1.0
    fallen = done / decay
    if schedule.decay_shape == "1-sqrt":
        fallen = math.sqrt(fallen)
    return 1 - (1 - final) * fallen


def _phases(schedule: Phased, step: int, steps: int) -> float:
    """What the schedule of the step's phase says."""
    phase = next(phase for phase in schedule.phases if step + 1 <= phase.last)
    if not phase.own:
        return learning_rate_factor(phase.schedule, step + 1, steps)
    before = phase.first - 1
    return learning_rate_factor(phase.schedule, step + 1 - before, phase.last - before)


KINDS: dict[str, Callable[[Any, int, int], float]] = {
    "wsd": _wsd,
    "cosine": _cosine,
    "constant": _constant,
    "phases": _phases,
}


def weight_decay_factor(kind: str, step: int, steps: int, learning_rate: float) -> float:
    """The factor for `step` (1 is the first) of `steps`; `learning_rate` is the learning rate's factor.

    The decay is decoupled, so what it takes from a weight falls with the learning rate in any case. `linear` falls to 0
    after the last step; `learning_rate` keeps the ratio of both (AdamC, arXiv:2506.02285).
    """
    return WEIGHT_DECAY[kind](step, steps, learning_rate)


WEIGHT_DECAY: dict[str, Callable[[int, int, float], float]] = {
    "constant": lambda step, steps, learning_rate: 1.0,
    "linear": lambda step, steps, learning_rate: (steps - step + 1) / steps,
    "learning_rate": lambda step, steps, learning_rate: learning_rate,
}


def auxiliary_weights(losses: Mapping[str, Auxiliary], step: int, steps: int) -> dict[str, float]:
    """The weights of auxiliary losses at `step` (1 is the first) of `steps`, without those that are 0 there."""
    weights = {
        name: loss.weight * learning_rate_factor(loss.schedule, step, steps)
        for name, loss in losses.items()
        if loss.weight
    }
    return {name: weight for name, weight in weights.items() if weight}
