"""Turn a job's settings and its opened sets into the task that the training loop carries out."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from abovo.config.budget import Budget
from abovo.errors import AbovoError
from abovo.modeling.cost import training_flops_per_token
from abovo.modeling.family import shape_of
from abovo.modeling.parameters import padded_vocabulary
from abovo.settings.job import JobSettings
from abovo.settings.keys import build
from abovo.settings.training import Training
from abovo.tokenizing.load import Tokenizer
from abovo.tokenizing.templates import template_for
from abovo.training.device import resolve_precision
from abovo.training.engines import micro_batch
from abovo.training.loss import Batch
from abovo.training.order import DataOrder, Phase
from abovo.training.samples import Sampler, sampler
from abovo.training.schedule import AnySchedule, Phased, PhaseSchedule, auxiliary_weights
from abovo.training.seeds import derive_seed
from abovo.training.sets import TrainingSets, validation_batches
from abovo.training.world import World

log = logging.getLogger("abovo")


@dataclass(frozen=True)
class Task:
    """What is to be trained. `batch(k)` is global batch k (0 is the first), `validation()` the held-out batches.

    A phase is trained from the step `start`, at which the one before handed over its state, to the step `steps`. The
    learning rate follows `schedule` (default: the recipe's) over the `whole` run (steps, default: `steps`). `sample`
    continues the recipe's prompts, `flops_per_token` are the operations that training on a token takes; the weights
    after each of the steps `kept` are kept.
    """

    label: str
    batch: Callable[[int], Batch]
    validation: Callable[[], Iterable[Batch]]
    steps: int
    tokens_per_step: int
    recipe: Training
    schedule: AnySchedule | None = None
    tensorboard: Path | None = None
    sample: Sampler | None = None
    flops_per_token: float | None = None
    start: int = 0
    whole: int | None = None
    kept: frozenset[int] = frozenset()


def read_settings(values: Mapping[str, Any]) -> JobSettings:
    """The settings of a job from JSON; those of the model are its family's. Raises AbovoError naming a bad key."""
    settings = build(JobSettings, values)
    return settings if settings.model is None else replace(settings, model=shape_of(settings.model, "settings, model"))


def task_of(
    settings: JobSettings, plan: Budget, tokenizer: Tokenizer, sets: TrainingSets, order: DataOrder, world: World
) -> Task:
    """The task of a job from its first step on."""
    recipe = replace(settings.training, precision=resolve_precision(settings.training.precision, world.device))
    if world.leads and recipe.precision == "fp16" != settings.training.precision:
        log.info("this GPU has no bf16 of its own: the precision is fp16, with a scaled loss")
    length = settings.sequence_length
    template = template_for(settings.template, tokenizer)
    return Task(
        label="training",
        batch=lambda k: replace(
            sets.batch(order.rows_of(k)), auxiliary=auxiliary_weights(recipe.auxiliary, k + 1, plan.steps)
        ),
        validation=lambda: validation_batches(sets.held_out, micro_batch(recipe)),
        steps=sum(plan.phases),
        tokens_per_step=plan.tokens_per_step,
        recipe=recipe,
        schedule=schedule_of(settings, plan),
        sample=sampler(tokenizer, recipe.samples, length, template) if recipe.samples.prompts else None,
        flops_per_token=_flops_per_token(settings, tokenizer),
        whole=plan.steps,
    )


def order_of(settings: JobSettings, plan: Budget, sets: TrainingSets) -> DataOrder:
    """The rows of every batch. Raises AbovoError for a set that phases draw from and that has no row."""
    phases = [
        Phase(phase.name, phase.sets, batches) for phase, batches in zip(settings.phases, plan.phases, strict=True)
    ]
    for name in (name for phase in phases for name in phase.weights):
        if not len(sets.train.get(name, ())):
            raise AbovoError("has no training rows", f"data set {name}", "enlarge its budget and pack it again")
    rows = {name: len(found) for name, found in sets.train.items()}
    batch = plan.tokens_per_step // settings.sequence_length
    return DataOrder(phases, rows, batch, derive_seed(settings.seed, "order"))


def schedule_of(settings: JobSettings, plan: Budget) -> Phased:
    """The learning rate over the phases: a phase's own schedule over its own steps, or the recipe's over all steps."""
    phases, first = [], 1
    for phase, steps in zip(settings.phases, plan.phases, strict=True):
        schedule = phase.schedule or settings.training.schedule
        phases.append(PhaseSchedule(schedule, phase.schedule is not None, first, first + steps - 1))
        first += steps
    return Phased(tuple(phases))


def _flops_per_token(settings: JobSettings, tokenizer: Tokenizer) -> int | None:
    """Operations that training on one token takes, by the model's shape; None where adapters or a start decide."""
    if settings.model is None or settings.adapters is not None:
        return None
    rows = padded_vocabulary(tokenizer.vocabulary_size)
    return training_flops_per_token(settings.model, rows, settings.sequence_length)
