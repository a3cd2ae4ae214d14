"""Turn a recipe's engine into what carries out training steps on a model: what all engines have in common.

All engines speak of the model by the same names and keep one form of checkpoint, that of a single process, so a run
can go on under another number of processes.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import nn

from abovo.config.engines import check_engine
from abovo.modeling.family import base_of, check_auxiliary, name_of_family
from abovo.provenance.tables import Table
from abovo.settings.engine import Engine as EngineSettings
from abovo.settings.training import Training
from abovo.training.amounts import ROWS
from abovo.training.blocks import prepare_model
from abovo.training.loss import Batch
from abovo.training.world import World


class Engine(Protocol):
    """What the training loop asks of an engine. Every method is called by all processes together."""

    micro_batch: int
    """Rows that go through the model at once (sequences)."""

    compiled: bool
    """Whether the model's blocks are compiled."""

    told: Mapping[str, Any]
    """What a library was told in its own words, by the name of the file beside the model that keeps it."""

    @property
    def whole(self) -> bool:
        """Whether the model that was given still holds all its weights, in float32."""

    @property
    def learning_rate(self) -> float:
        """That of the last step."""

    def gradient(self, batch: Batch, targets: int) -> torch.Tensor:
        """Take the gradient of the summed loss over `targets`; `batch` is this process's part. Returns the quotient,
        and that of each auxiliary loss of the batch: numbers on the device that nothing has waited for."""

    def clip(self, largest: float | None) -> torch.Tensor:
        """The global gradient norm, a number on the device, after which it is at most `largest`."""

    def step(self, factor: float, step: int, decay: float = 1.0) -> None:
        """One optimizer step at `factor` times the peak learning rates and `decay` times the weight decay; gradients
        are then gone."""

    def evaluate(self, batch: Batch) -> float:
        """The summed loss of this process's batch, without gradients."""

    def predict(self, ids: torch.Tensor, column: int) -> torch.Tensor:
        """The logits [rows, V] of what follows a column of `ids`, which are the same in every process."""

    def state(self) -> dict[str, Any]:
        """Trained weights and optimizer state as a single process would hold them; empty on all ranks but 0."""

    def load(self, state: dict[str, Any]) -> None:
        """The reverse of `state`; every process passes what rank 0 had."""

    def weights(self) -> dict[str, torch.Tensor]:
        """All trained weights by name on rank 0, on the CPU; empty elsewhere."""


def micro_batch(recipe: Training) -> int:
    """Rows that go through the model at once (sequences); for `auto` those to begin with."""
    return ROWS if recipe.micro_batch_sequences == "auto" else recipe.micro_batch_sequences


def rows_at_once(engine: Engine, rows: int) -> int:
    """Rows that go through the model in place of `rows` without gradients: blocks are compiled for one shape alone."""
    return engine.micro_batch if engine.compiled and rows < engine.micro_batch else rows


def in_shape(engine: Engine, ids: torch.Tensor, through: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """What `through` makes of `ids` [rows, L], in pieces of the one shape that blocks are compiled for."""
    if not engine.compiled:
        return through(ids)
    found = []
    for part in ids.split(engine.micro_batch):
        missing = engine.micro_batch - len(part)
        found.append(through(torch.cat([part, part[:1].expand(missing, -1)]))[: len(part)])
    return torch.cat(found)


def build_engine(model: nn.Module, recipe: Training, world: World, engine: EngineSettings, rows: int) -> Engine:
    """The engine of the kind and strategy that `engine`, a file of config/engines, names, for global batches of `rows`
    rows (sequences)."""
    check_engine(engine, recipe)
    check_auxiliary(recipe.auxiliary, name_of_family(base_of(model).config.model_type), "training.auxiliary")
    return ENGINES[engine.kind](prepare_model(model, recipe, world.device), recipe, world, engine, rows)


ENGINES: Table[Callable[[nn.Module, Training, World, EngineSettings, int], Engine]] = Table(
    {
        "torch": "abovo.training.engine_torch:torch_engine",
        "deepspeed": "abovo.training.engine_deepspeed:DeepSpeedEngine",
    },
    chosen_by="engine.kind",
)
