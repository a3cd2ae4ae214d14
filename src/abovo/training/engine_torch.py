"""Turn a model and a recipe into training steps by torch's own means: in one process, on copies, or in parts.

`strategy` none is for one process; ddp keeps a copy of the model in each of several, fsdp spreads its parts (FSDP2).
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from abovo.modeling.family import base_of, family_of
from abovo.settings.engine import Engine as EngineSettings
from abovo.settings.training import Training
from abovo.training.compiling import compiles_blocks
from abovo.training.engines import in_shape, micro_batch, rows_at_once
from abovo.training.loss import Batch, SummedLoss, autocast
from abovo.training.optimizers import Optimizers
from abovo.training.precision import LossScale
from abovo.training.world import World


def torch_engine(model: nn.Module, recipe: Training, world: World, engine: EngineSettings, rows: int) -> "TorchEngine":
    """The engine of kind torch, which takes global batches of any number of rows."""
    return TorchEngine(model, recipe, world, engine.strategy)


class TorchEngine:
    """Steps by torch's own means; `strategy` is none, ddp or fsdp."""

    told: Mapping[str, Any] = {}

    def __init__(self, model: nn.Module, recipe: Training, world: World, strategy: str) -> None:
        self.recipe, self.world = recipe, world
        self.micro_batch = micro_batch(recipe)
        self.compiled = compiles_blocks(recipe, world.device)
        self.model = model.to(world.device).train()
        self.names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.loss: Any = SummedLoss(self.model, recipe.z_loss)
        self.copies = strategy == "ddp" and world.size > 1
        self.whole = strategy != "fsdp"
        if strategy == "fsdp":
            _shard(self.loss)
        elif self.copies:
            self.loss = DistributedDataParallel(self.loss, gradient_as_bucket_view=True)
        self.optimizers = Optimizers(self.model, recipe.optimizer)
        self.trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.scale = LossScale(recipe.precision)
        self.norm = torch.tensor(math.nan)

    @property
    def learning_rate(self) -> float:
        return self.optimizers.learning_rate

    def gradient(self, batch: Batch, targets: int) -> torch.Tensor:
        total, self.norm = self.scale.until_finite(
            lambda: (self._pass(batch, targets), self._norm()), self.optimizers.zero_grad
        )
        return total.to(self.world.exact) / targets

    def _pass(self, batch: Batch, targets: int) -> torch.Tensor:
        """Forward and backward. Returns the summed losses, leaves scaled gradients of the mean of the first."""
        # DDP and FSDP average over the processes, the loss is a sum: undo the average
        scale = self.scale.value * self.world.size / targets
        total = torch.zeros((), device=self.world.device)
        parts = list(batch.split(self.micro_batch))
        for number, part in enumerate(parts, 1):
            self._synchronize(number == len(parts))
            with autocast(self.world.device, self.recipe.precision):
                losses = self.loss(*part.arguments(self.world.device))
            (losses[0] * scale).backward()
            total = total + losses.detach()
        return total

    def _norm(self) -> torch.Tensor:
        """The global norm of the gradients, which lose their scale here."""
        gradients = [parameter.grad for parameter in self.trainable if parameter.grad is not None]
        if self.scale.value != 1:
            torch._foreach_mul_(gradients, 1 / self.scale.value)  # a power of two: exact
        norm = nn.utils.get_total_norm(gradients)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def _synchronize(self, last: bool) -> None:
        """Exchange gradients in the last micro-batch only."""
        if self.copies:
            self.loss.require_backward_grad_sync = last  # type: ignore[assignment]
        elif isinstance(self.loss, FSDPModule):
            self.loss.set_requires_gradient_sync(last)

    def clip(self, largest: float | None) -> torch.Tensor:
        if largest is not None:
            nn.utils.clip_grads_with_norm_(self.trainable, largest, self.norm)
        return self.norm

    def step(self, factor: float, step: int, decay: float = 1.0) -> None:
        self.optimizers.step(factor, step, decay)
        self.optimizers.zero_grad()
        self.scale.passed()

    def evaluate(self, batch: Batch) -> float:
        batch = batch.rows(slice(0, rows_at_once(self, len(batch.ids))))
        with self._evaluating():
            return self.loss(*batch.arguments(self.world.device))[0].item()

    def predict(self, ids: torch.Tensor, column: int) -> torch.Tensor:
        with self._evaluating():
            return in_shape(self, ids, lambda rows: self.loss(rows.to(self.world.device), predict=column))

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """For a forward pass that no backward pass follows."""
        self.model.eval()
        with torch.no_grad(), autocast(self.world.device, self.recipe.precision):
            yield
        if isinstance(self.loss, FSDPModule):
            self.loss.reshard()  # only a backward pass does it by itself
        self.model.train()

    def state(self) -> dict[str, Any]:
        options = StateDictOptions(full_state_dict=True, cpu_offload=self.world.size > 1)
        optimizers = [get_optimizer_state_dict(self.model, part, options=options) for part in self.optimizers.parts]
        weights = self.weights()
        content = {"model": weights, "optimizers": optimizers, "scale": self.scale.state()}
        return content if self.world.leads else {}

    def load(self, state: dict[str, Any]) -> None:
        options = StateDictOptions(full_state_dict=True, strict=False)
        set_model_state_dict(self.model, state["model"], options=options)
        for part, saved in zip(self.optimizers.parts, state["optimizers"], strict=True):
            set_optimizer_state_dict(self.model, part, saved, options=options)
        self.scale.load(state["scale"])

    def weights(self) -> dict[str, torch.Tensor]:
        options = StateDictOptions(full_state_dict=True, cpu_offload=self.world.size > 1)
        found: dict[str, Any] = get_model_state_dict(self.model, options=options)
        return {name: tensor for name, tensor in found.items() if name in self.names}


def _shard(loss: SummedLoss) -> None:
    """Spread every block's parameters over the processes, and what is left with the whole (FSDP2)."""
    for block in family_of(loss.model).blocks(base_of(loss.model)):
        fully_shard(block)
    fully_shard(loss)
