"""Turn activations into others on a CPU with few passes over memory: norms, rotary positions, gated activations.

As transformers writes it, the norm and its gradient are some fifteen operations, each a pass over the activations; one
function with its own gradient takes seven. Rotary positions take two passes in place of five, and of a gated activation
nothing is kept but gate and up. Other devices keep plain expressions, which a compiler fuses by itself.
"""

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def few_passes(values: Tensor) -> bool:
    """Whether the functions here are for these values: on a CPU, not in half precision, and where nothing compiles."""
    single = values.dtype in (torch.float32, torch.float64)
    return values.device.type == "cpu" and single and not torch.compiler.is_compiling()


def use_few_passes(model: nn.Module) -> None:
    """Make the RMSNorm layers of `model` use `rms_norm` on the CPU where they are not in half precision; values differ
    by rounding only."""
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            module.forward = MethodType(_forward, module)  # type: ignore[method-assign]


def _forward(module: Any, hidden: Tensor) -> Tensor:
    if few_passes(hidden):
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


def rotated(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotary positions (arXiv:2104.09864): element i of a head and i + h/2 are turned by one angle.

    `heads` is [rows, length, heads, h], the tables [1, length, 1, h] with their first half repeated; they get no
    gradient.
    """
    return _Rotated.apply(heads, cosines, sines)


class _Rotated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        ctx.save_for_backward(cosines, sines)
        return _turn(heads, cosines, sines, 1)

    @staticmethod
    def backward(ctx, *outputs: Tensor) -> tuple[Tensor, None, None]:
        cosines, sines = ctx.saved_tensors
        return _turn(outputs[0], cosines, sines, -1), None, None


def _turn(heads: Tensor, cosines: Tensor, sines: Tensor, way: int) -> Tensor:
    half = heads.shape[-1] // 2
    sines = sines[..., :half]
    turned = heads * cosines
    turned[..., :half].addcmul_(heads[..., half:], sines, value=-way)
    turned[..., half:].addcmul_(heads[..., :half], sines, value=way)
    return turned


def gated(joined: Tensor) -> Tensor:
    """silu(gate) * up (SwiGLU, arXiv:2002.05202), [..., F] of gate and up side by side in [..., 2F]."""
    return _Gated.apply(joined)


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, joined: Tensor) -> Tensor:
        ctx.save_for_backward(joined)
        gate, up = joined.chunk(2, -1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx, *outputs: Tensor) -> Tensor:
        (joined,) = ctx.saved_tensors
        gate, up = joined.chunk(2, -1)
        gradient = torch.empty_like(joined)
        gate_gradient, up_gradient = gradient.chunk(2, -1)
        activated = F.silu(gate)
        torch.mul(outputs[0], activated, out=up_gradient)
        inner = torch.mul(outputs[0], up, out=activated)
        torch.ops.aten.silu_backward.grad_input(inner, gate, grad_input=gate_gradient)
        return gradient
