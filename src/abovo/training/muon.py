"""Turn gradients of matrices into orthogonalised updates: torch's Muon, in float32 on processors without bf16 units.

torch.optim.Muon iterates in bfloat16, which such processors emulate at a third of the speed of float32. State and
settings are torch's, so a checkpoint fits either class.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from abovo.settings.training import Optimizer
from abovo.training.adamw import adamw_over
from abovo.training.groups import groups_of

FIRST_MOMENTUM = 0.85


def muon(model: nn.Module, recipe: Optimizer) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for embeddings, norms and an untied output matrix."""
    found = groups_of(model)
    matrices = MUON[_precision(recipe, found.matrices)](found.matrices, recipe)
    return [matrices, adamw_over([{"params": [*found.others, *found.output], "weight_decay": 0.0}], recipe)]


def _precision(recipe: Optimizer, matrices: Sequence[Tensor]) -> str:
    """For `auto` bf16 where the device multiplies bfloat16 itself, fp32 on processors that would emulate it."""
    if recipe.muon_precision != "auto":
        return recipe.muon_precision
    native = matrices[0].is_cuda or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"


class Muon(torch.optim.Muon):
    """torch.optim.Muon with the values of a recipe; its momentum rises over the first steps.

    `adjust_lr_fn="original"` scales an update by sqrt(max(1, rows / columns)) (Jordan et al. 2024).
    """

    def __init__(self, matrices: Iterable[nn.Parameter], recipe: Optimizer) -> None:
        super().__init__(
            matrices,
            lr=recipe.muon_learning_rate,
            momentum=recipe.muon_momentum,
            nesterov=True,
            weight_decay=recipe.weight_decay,
            adjust_lr_fn="original",
        )
        self.momentum, self.warmup_steps = recipe.muon_momentum, recipe.muon_momentum_warmup_steps

    def at_step(self, step: int) -> None:
        """Set the momentum of a step (1 is the first)."""
        done = min(1.0, step / self.warmup_steps) if self.warmup_steps else 1.0
        for group in self.param_groups:
            group["momentum"] = FIRST_MOMENTUM + (self.momentum - FIRST_MOMENTUM) * done


class Float32Muon(Muon):
    """Muon with its Newton-Schulz iteration in float32, over all matrices of one shape at a time."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step; a closure is not called."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes[parameter.shape].append(parameter)
            for (rows, columns), parameters in shapes.items():
                momenta = torch.stack([self._momentum(parameter, group) for parameter in parameters])
                updates = orthogonalize(momenta, group["ns_coefficients"], group["ns_steps"], group["eps"])
                rate = group["lr"] * math.sqrt(max(1, rows / columns))
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)

    def _momentum(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        """The gradient after Nesterov momentum; the buffer moves on."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(buffer, group["momentum"])


def orthogonalize(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Matrices [n, rows, columns] with their singular values moved close to 1, singular vectors kept.

    The quintic Newton-Schulz iteration of Jordan et al. 2024 (kellerjordan.github.io/posts/muon): each of `steps` turns
    a singular value s into a s + b s^3 + c s^5.
    """
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


MUON: dict[str, type[Muon]] = {"bf16": Muon, "fp32": Float32Muon}
