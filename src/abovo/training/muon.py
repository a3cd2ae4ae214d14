"""Turn gradients of matrices into orthogonalised updates: torch's Muon, over all matrices of one shape at a time.

State and settings are torch's, so a checkpoint fits either class. A GPU gets a few launches for each shape in place of
many for each matrix. torch.optim.Muon iterates in bfloat16, which processors without such units emulate at a third of
the speed of float32; here the precision of the iteration is a value.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from abovo.settings.training import Optimizer
from abovo.training.adamw import adamw_over
from abovo.training.groups import groups_of

FIRST_MOMENTUM = 0.85


def muon(model: nn.Module, recipe: Optimizer) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for embeddings, norms and an untied output matrix."""
    found = groups_of(model)
    matrices = Muon(found.matrices, recipe)
    return [matrices, adamw_over([{"params": [*found.others, *found.output], "weight_decay": 0.0}], recipe)]


class Spread(Protocol):
    """How matrices lie over the processes in what an optimizer calls its parameters."""

    def whole(self, parameter: Tensor, tensor: Tensor) -> list[Tensor]:
        """The matrices that `tensor`, which lies as `parameter` does, holds with those of the other processes."""

    def own(self, parameter: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        """The reverse: this process's part of what every process has the whole of."""


class AsTensors:
    """Each parameter is a matrix, here or over the processes of FSDP2."""

    def whole(self, parameter: Tensor, tensor: Tensor) -> list[Tensor]:
        return [tensor.full_tensor() if isinstance(tensor, DTensor) else tensor]

    def own(self, parameter: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        (matrix,) = matrices
        if not isinstance(parameter, DTensor):
            return matrix
        return distribute_tensor(matrix, parameter.device_mesh, parameter.placements, src_data_rank=None)


class Muon(torch.optim.Muon):
    """torch.optim.Muon with the values of a recipe; its momentum rises over the first steps.

    `adjust_lr_fn="original"` scales an update by sqrt(max(1, rows / columns)) (Jordan et al. 2024). Matrices that lie
    in parts over processes (`spread`) are put together for the iteration, which every process then makes for itself.
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
        self.precision = recipe.muon_precision
        self.spread: Spread = AsTensors()

    def at_step(self, step: int) -> None:
        """Set the momentum of a step (1 is the first)."""
        done = min(1.0, step / self.warmup_steps) if self.warmup_steps else 1.0
        for group in self.param_groups:
            group["momentum"] = FIRST_MOMENTUM + (self.momentum - FIRST_MOMENTUM) * done

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step; a closure is not called."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape].append(parameter)
            for parameters in alike.values():
                momenta = self._momenta(parameters, group["momentum"])
                matrices = [self.spread.whole(*pair) for pair in zip(parameters, momenta, strict=True)]
                updates = self._updates(matrices, group["ns_coefficients"], group["ns_steps"], group["eps"])
                tensors: list[Tensor] = list(parameters)
                torch._foreach_mul_(tensors, 1 - group["lr"] * group["weight_decay"])
                own = [self.spread.own(*pair) for pair in zip(parameters, updates, strict=True)]
                torch._foreach_add_(tensors, own, alpha=-group["lr"])

    def _momenta(self, parameters: Sequence[nn.Parameter], momentum: float) -> Sequence[Tensor]:
        """The gradients after Nesterov momentum; the buffers move on."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        buffers = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        return torch._foreach_lerp(gradients, buffers, momentum)

    def _updates(self, matrices: Sequence[Sequence[Tensor]], *how: Any) -> list[list[Tensor]]:
        """For every matrix its update, scaled by its shape."""
        places: dict[torch.Size, list[tuple[int, int]]] = defaultdict(list)
        for row, found in enumerate(matrices):
            for column, matrix in enumerate(found):
                places[matrix.shape].append((row, column))
        updates = [list(found) for found in matrices]
        for (rows, columns), alike in places.items():
            made = self._orthogonal(torch.stack([matrices[row][column] for row, column in alike]), *how)
            made.mul_(math.sqrt(max(1, rows / columns)))
            for (row, column), update in zip(alike, made, strict=True):
                updates[row][column] = update
        return updates

    def _orthogonal(self, momenta: Tensor, *how: Any) -> Tensor:
        """The updates [n, rows, columns] in the precision of the recipe; for `auto` bf16 on GPUs, which gain by it.

        Processors make them in float32, those with bf16 units too, so that equal runs are equal on any of them.
        """
        on_gpu = momenta.is_cuda
        half = self.precision == "bf16" or (self.precision == "auto" and on_gpu)
        return (_compiled() if on_gpu else orthogonalize)(momenta.bfloat16() if half else momenta, *how).to(momenta)


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


@cache
def _compiled() -> Callable[..., Tensor]:
    return torch.compile(orthogonalize, dynamic=False)
