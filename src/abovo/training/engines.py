"""Carry out training steps on a model: in one process, on equal copies (DDP), or with its parts spread (FSDP2, ZeRO).

All engines speak of the model by the same names and keep one form of checkpoint, that of a single process, so a run
can go on under another number of processes.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

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

from abovo.config.engines import check_engine
from abovo.training.blocks import blocks_of, prepare_model
from abovo.training.loss import Batch, SummedLoss, autocast
from abovo.training.optimizers import Optimizers
from abovo.training.precision import LossScale
from abovo.training.world import World


class Engine(Protocol):
    """What the training loop asks of an engine. Every method is called by all processes together."""

    micro_batch: int
    """Rows that go through the model at once (sequences)."""

    @property
    def whole(self) -> bool:
        """Whether the model that was given still holds all its weights, in float32."""

    @property
    def learning_rate(self) -> float:
        """That of the last step."""

    def gradient(self, batch: Batch, targets: int) -> float:
        """Take the gradient of the summed loss over `targets`; `batch` is this process's part. Returns the quotient."""

    def clip(self, largest: float | None) -> float:
        """The global gradient norm, after which it is at most `largest`."""

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


def build_engine(model: nn.Module, recipe: Mapping[str, Any], world: World, engine: Mapping[str, Any]) -> Engine:
    """The engine of the kind and strategy that `engine`, a file of config/engines, names."""
    check_engine(engine, recipe)
    return KINDS[engine["kind"]](prepare_model(model, recipe, world.device), recipe, world, engine)


class TorchEngine:
    """torch's own means: `strategy` none for one process, ddp or fsdp for several."""

    def __init__(self, model: nn.Module, recipe: Mapping[str, Any], world: World, strategy: str) -> None:
        self.recipe, self.world = recipe, world
        self.micro_batch = recipe["micro_batch_sequences"]
        self.model = model.to(world.device).train()
        self.names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.loss: nn.Module = SummedLoss(self.model, recipe["z_loss"])
        self.copies = strategy == "ddp" and world.size > 1
        self.whole = strategy != "fsdp"
        if strategy == "fsdp":
            _shard(self.loss)
        elif self.copies:
            self.loss = DistributedDataParallel(self.loss, gradient_as_bucket_view=True)
        self.optimizers = Optimizers(self.model, recipe["optimizer"])
        self.trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.scale = LossScale(recipe["precision"])
        self.norm = math.nan

    @property
    def learning_rate(self) -> float:
        return self.optimizers.learning_rate

    def gradient(self, batch: Batch, targets: int) -> float:
        total, self.norm = self.scale.until_finite(
            lambda: (self._pass(batch, targets), self._norm()), self.optimizers.zero_grad
        )
        return total / targets

    def _pass(self, batch: Batch, targets: int) -> float:
        """Forward and backward. Returns the summed loss, leaves scaled gradients of its mean."""
        # DDP and FSDP average over the processes, the loss is a sum: undo the average
        scale = self.scale.value * self.world.size / targets
        total = torch.zeros((), device=self.world.device)
        parts = list(batch.split(self.micro_batch))
        for number, part in enumerate(parts, 1):
            self._synchronize(number == len(parts))
            with autocast(self.world.device, self.recipe["precision"]):
                loss = self.loss(*part.arguments(self.world.device))
            (loss * scale).backward()
            total = total + loss.detach()
        return total.item()

    def _norm(self) -> float:
        """The global norm of the gradients, which lose their scale here."""
        gradients = [parameter.grad for parameter in self.trainable if parameter.grad is not None]
        if self.scale.value != 1:
            torch._foreach_mul_(gradients, 1 / self.scale.value)  # a power of two: exact
        norm = nn.utils.get_total_norm(gradients)
        return (norm.full_tensor() if isinstance(norm, DTensor) else norm).item()

    def _synchronize(self, last: bool) -> None:
        """Exchange gradients in the last micro-batch only."""
        if self.copies:
            self.loss.require_backward_grad_sync = last  # type: ignore[assignment]
        elif isinstance(self.loss, FSDPModule):
            self.loss.set_requires_gradient_sync(last)

    def clip(self, largest: float | None) -> float:
        if largest is not None:
            nn.utils.clip_grads_with_norm_(self.trainable, largest, torch.tensor(self.norm, device=self.world.device))
        return self.norm

    def step(self, factor: float, step: int, decay: float = 1.0) -> None:
        self.optimizers.step(factor, step, decay)
        self.optimizers.zero_grad()
        self.scale.passed()

    def evaluate(self, batch: Batch) -> float:
        with self._evaluating():
            return self.loss(*batch.arguments(self.world.device)).item()

    def predict(self, ids: torch.Tensor, column: int) -> torch.Tensor:
        with self._evaluating():
            return self.loss(ids.to(self.world.device), None, column)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """For a forward pass that no backward pass follows."""
        self.model.eval()
        with torch.no_grad(), autocast(self.world.device, self.recipe["precision"]):
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


def _shard(loss: nn.Module) -> None:
    """Spread every block's parameters over the processes, and what is left with the whole (FSDP2)."""
    for block in blocks_of(loss):
        fully_shard(block)
    fully_shard(loss)


def _torch(model: nn.Module, recipe: Mapping[str, Any], world: World, engine: Mapping[str, Any]) -> Engine:
    return TorchEngine(model, recipe, world, engine["strategy"])


def _deepspeed(model: nn.Module, recipe: Mapping[str, Any], world: World, engine: Mapping[str, Any]) -> Engine:
    from abovo.training.deepspeed import DeepSpeedEngine

    stage = int(engine["strategy"].removeprefix("zero"))
    return DeepSpeedEngine(model, recipe, world, stage, offload=engine["offload_optimizer"])


KINDS: dict[str, Callable[[nn.Module, Mapping[str, Any], World, Mapping[str, Any]], Engine]] = {
    "torch": _torch,
    "deepspeed": _deepspeed,
}
