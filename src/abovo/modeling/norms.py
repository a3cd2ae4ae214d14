"""Turn a model's RMSNorm layers into ones that go over memory less often on a CPU.

As transformers writes it, the norm and its gradient are some fifteen operations, each a pass over the activations; one
function with its own gradient takes seven. Other devices keep the original, which a compiler fuses by itself.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn


def use_few_passes(model: nn.Module) -> None:
    """Make the RMSNorm layers of `model` use `rms_norm` on the CPU where they are not in half precision; values differ
    by rounding only."""
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            module.forward = MethodType(_forward, module)  # type: ignore[method-assign]


def _forward(module: Any, hidden: Tensor) -> Tensor:
    if hidden.device.type == "cpu" and hidden.dtype in (torch.float32, torch.float64):
        return rms_norm(hidden, module.weight, module.variance_epsilon)
    return type(module).forward(module, hidden)


def rms_norm(hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """hidden / sqrt(mean(hidden^2) + epsilon) * weight over the last dimension (arXiv:1910.07467)."""
    return _RMSNorm.apply(hidden, weight, epsilon)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        scale = torch.linalg.vecdot(hidden, hidden).div_(hidden.shape[-1]).add_(epsilon).rsqrt_().unsqueeze(-1)
        normed = hidden * scale
        ctx.save_for_backward(normed, scale, weight)
        return normed * weight

    @staticmethod
    def backward(ctx, *outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        normed, scale, weight = ctx.saved_tensors
        gradient = outputs[0]
        weight_gradient = (gradient * normed).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[0]:
            return None, weight_gradient, None
        inner = gradient * weight
        share = torch.linalg.vecdot(inner, normed).div_(normed.shape[-1]).unsqueeze(-1)
        return inner.addcmul_(normed, share, value=-1).mul_(scale), weight_gradient, None
