"""Turn a model and a recipe into optimizers whose learning rates follow the schedule."""

from collections.abc import Callable

import torch
from torch import nn

from abovo.provenance.tables import Table
from abovo.settings.training import Optimizer


class Optimizers:
    """One or two torch optimizers that step together. Learning rates are set for each step, never accumulated."""

    def __init__(self, model: nn.Module, recipe: Optimizer) -> None:
        self.parts = OPTIMIZERS[recipe.kind](model, recipe)
        for part in self.parts:
            for group in part.param_groups:
                group["peak"], group["peak_decay"] = group["lr"], group["weight_decay"]

    def step(self, factor: float, step: int, decay: float = 1.0) -> None:
        """One step at `factor` times the peak learning rates and `decay` times the weight decay; `step` is from 1."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = group["peak"] * factor
                group["weight_decay"] = group["peak_decay"] * decay
            if hasattr(part, "at_step"):  # an optimizer of ours with a value that moves by itself
                part.at_step(step)
            part.step()

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the first group, which the metrics show."""
        return self.parts[0].param_groups[0]["lr"]


OPTIMIZERS: Table[Callable[[nn.Module, Optimizer], list[torch.optim.Optimizer]]] = Table(
    {
        "adamw": "abovo.training.adamw:adamw",
        "muon": "abovo.training.muon:muon",
    },
    chosen_by="optimizer.kind",
)
