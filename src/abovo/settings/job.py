"""What a training job is told: pretraining, a phase of it and fine-tuning differ in these values alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from abovo.settings.checkpoints import Amounts, Limits
from abovo.settings.engine import Engine
from abovo.settings.keys import key
from abovo.settings.template import ChatTemplate
from abovo.settings.training import Schedule, Training
from abovo.settings.tuning import Adapters


@dataclass(frozen=True, kw_only=True)
class JobPhase:
    """A stretch of a job, with a mix of its own."""

    name: str = key("Name of the phase")
    sets: Mapping[str, float] = key("Weight of each packed set (fractions of the rows)", above=0, min_items=1)
    share: float = key("Share of the job's tokens (fraction)", above=0, maximum=1)
    schedule: Schedule | None = key(
        "Learning rate over this phase alone; null: the recipe's, over the whole job", default=None
    )


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """All that a training job is told besides the files that it reads and writes."""

    tokens: int = key("Training budget, padding included (tokens)", minimum=1)
    sequence_length: int = key("Length of a row (tokens)", minimum=8, maximum=2**20)
    phases: tuple[JobPhase, ...] = key("Phases in their order, up to the one that is to be trained", min_items=1)
    training: Training = key("How the model is optimized, as in config/training, without `auto` for batch and rate")
    engine: Engine = key("What carries out the steps, as in config/engines")
    model: Any = key("Shape of the model, as in config/models; null: that of the start", default=None)
    family: str | None = key(
        "Family of the model that it starts from, whose code counts; null: that of `model`", default=None
    )
    parameters: int | None = key(
        "Parameters that the model is claimed to have, checked to 1 %", default=None, minimum=1
    )
    adapters: Adapters | None = key(
        "Low-rank adapters that are trained in place of the weights; null: all weights train", default=None
    )
    quantization: Literal["nf4", "int8"] | None = key(
        "Form of the frozen weights beside adapters: 4 bits (nf4, arXiv:2305.14314) or 8 (int8, arXiv:2208.07339), by"
        " the package bitsandbytes; null: as they are",
        default=None,
    )
    attention: Literal["conversation", "row"] = key(
        "What an id sees: what is before it in its conversation, or in its row", default="row"
    )
    overlap: int = key(
        "Ids at a row's beginning that the row before it ends with; they are targets there alone (tokens)",
        default=0, minimum=0, maximum=2**20,
    )  # fmt: skip
    template: ChatTemplate | None = key(
        "Chat template in which the model answers, exported with it; null: it continues texts", default=None
    )
    checkpoints: Amounts = key("Models that are kept on the way", default=Amounts())
    limits: Limits = key("What the training text may amount to", default=Limits(), decides=False)
    seed: int = key("Root of every random stream of the job", default=42, minimum=0, maximum=2**32 - 1)
    threads: int = key(
        "Processor threads of torch; part of what CPU results depend on", default=2, minimum=1, maximum=1024
    )
