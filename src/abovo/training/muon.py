"""Turn gradients of matrices into orthogonalised updates in float32: torch's Muon for processors without bf16 units.

torch.optim.Muon iterates in bfloat16, which such processors emulate at a third of the speed of float32. State and
settings are torch's, so a checkpoint fits either class.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Float32Muon(torch.optim.Muon):
    """torch.optim.Muon with its Newton-Schulz iteration in float32, over all matrices of one shape at a time."""

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
