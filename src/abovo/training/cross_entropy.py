"""Turn hidden states and the output matrix into a summed cross-entropy without ever holding all logits.

Logits of a vocabulary of 32K take 128 KB per token in float32, many times what the rest of a small model needs. Here a
chunk of rows at a time is multiplied, scored and turned in place into its own gradient, so that the logits are read a
few times while they are in the cache and the backward pass has nothing left to do but scale.
"""

import torch
from torch import Tensor

# Logits of one chunk take about this much (bytes): small enough for a processor's cache, large enough for a GPU.
CHUNK_BYTES = {"cpu": 4 << 20, "cuda": 256 << 20}


def summed_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, z_loss: float = 0.0) -> Tensor:
    """Sum over n of -log softmax(hidden[n] @ weight.T)[targets[n]] (nats), in float32 (float64 for such states).

    `hidden` is [n, D], `weight` [V, D], `targets` int64 [n]. Under autocast the products are made in its type; the
    scores are never less than float32. With `z_loss` the gradient, not the value, is that of the sum plus
    `z_loss` * log(Z)^2 of each row, Z being the softmax's denominator (PaLM, arXiv:2204.02311, section 5): losses stay
    comparable.
    """
    return _SummedCrossEntropy.apply(hidden, weight, targets, z_loss)


class _SummedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, targets: Tensor, z_loss: float) -> Tensor:
        device = hidden.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        exact = torch.promote_types(kind, torch.float32)
        rows = max(128, CHUNK_BYTES.get(device, 4 << 20) // (4 * len(weight)))
        total = torch.zeros((), dtype=exact, device=hidden.device)
        wanted = any(ctx.needs_input_grad[:2])
        hidden_grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        weight_grad = torch.zeros_like(weight, dtype=exact) if ctx.needs_input_grad[1] else None
        with torch.autocast(device, enabled=False):
            matrix = weight.to(kind)
            for first in range(0, len(hidden), rows):
                part = slice(first, first + rows)
                states, answers = hidden[part].to(kind), targets[part, None]
                logits = (states @ matrix.T).to(exact)
                norm = logits.logsumexp(1, keepdim=True)
                total += (norm - logits.gather(1, answers)).sum()
                if not wanted:
                    continue
                gradient = logits.sub_(norm).exp_()  # softmax, in the logits' own memory
                if z_loss:
                    gradient.mul_(1 + 2 * z_loss * norm)
                gradient.scatter_add_(1, answers, gradient.new_full(answers.shape, -1.0))
                gradient = gradient.to(kind)
                if hidden_grad is not None:
                    hidden_grad[part] = gradient @ matrix
                if weight_grad is not None:
                    if kind == exact:
                        weight_grad.addmm_(gradient.T, states)
                    else:
                        weight_grad += gradient.T @ states
        ctx.save_for_backward(hidden_grad, weight_grad)
        ctx.weight_type = weight.dtype
        return total

    @staticmethod
    def backward(ctx, *outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        scale = outputs[0]
        hidden_grad, weight_grad = ctx.saved_tensors
        return (
            None if hidden_grad is None else hidden_grad.mul_(scale),
            None if weight_grad is None else weight_grad.mul_(scale).to(ctx.weight_type),
            None,
            None,
        )
