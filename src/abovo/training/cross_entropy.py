"""Turn hidden states and the output matrix into a summed cross-entropy without ever holding all logits.

Logits of a vocabulary of 32K take 128 KB per token in float32, many times what the rest of a small model needs. Here a
chunk of rows at a time is multiplied, scored and turned in place into its own gradient, so that the backward pass has
nothing left to do but scale. On a processor a chunk fits the cache; on a GPU it is large, stays in the products' type
and is scored by one compiled kernel, which holds single rows in float32.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from abovo.training.amounts import LOGIT_BYTES, LOGIT_ROWS

# (logits, answers [n, 1], z_loss, whether the gradient is wanted) -> the summed loss, and the gradient of the logits
Score = Callable[[Tensor, Tensor, float, bool], tuple[Tensor, Tensor | None]]


def summed_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, z_loss: float = 0.0) -> Tensor:
    """Sum over n of -log softmax(hidden[n] @ weight.T)[targets[n]] (nats), in float32 (float64 for such states).

    `hidden` is [n, D], `weight` [V, D], `targets` int64 [n]. Under autocast the products are made in its type; the
    scores are never less than float32. With `z_loss` the gradient, not the value, is that of the sum plus
    `z_loss` * log(Z)^2 of each row, Z being the softmax's denominator (PaLM, arXiv:2204.02311, section 5): losses stay
    comparable.
    """
    return _SummedCrossEntropy.apply(hidden, weight, targets, z_loss)


def cross_entropy_of(logits: Tensor, targets: Tensor, z_loss: float = 0.0) -> Tensor:
    """The same of logits [n, V] that a model made by itself."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    denominators = logits.logsumexp(-1)
    total = (denominators - logits.gather(-1, targets[:, None]).squeeze(-1)).sum()
    penalty = z_loss * denominators.square().sum()
    return total + penalty - penalty.detach() if z_loss else total


class _SummedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, targets: Tensor, z_loss: float) -> Tensor:
        device = hidden.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        exact = torch.promote_types(kind, torch.float32)
        score, rows = _way(device, len(weight))
        total = torch.zeros((), dtype=exact, device=hidden.device)
        wanted = any(ctx.needs_input_grad[:2])
        hidden_grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        weight_grad = torch.zeros_like(weight, dtype=exact) if ctx.needs_input_grad[1] else None
        with torch.autocast(device, enabled=False):
            matrix = weight.to(kind)
            for first in range(0, len(hidden), rows):
                part = slice(first, first + rows)
                states = hidden[part].to(kind)
                loss, gradient = score(states @ matrix.T, targets[part, None], z_loss, wanted)
                total += loss
                if gradient is None:
                    continue
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


def score_in_place(logits: Tensor, answers: Tensor, z_loss: float, wanted: bool) -> tuple[Tensor, Tensor | None]:
    """For processors: pass by pass, in the memory of the logits."""
    kind, logits = logits.dtype, logits.to(torch.promote_types(logits.dtype, torch.float32))
    norm = logits.logsumexp(1, keepdim=True)
    loss = (norm - logits.gather(1, answers)).sum()
    if not wanted:
        return loss, None
    gradient = logits.sub_(norm).exp_()  # softmax
    if z_loss:
        gradient.mul_(1 + 2 * z_loss * norm)
    gradient.scatter_add_(1, answers, gradient.new_full(answers.shape, -1.0))
    return loss, gradient.to(kind)


def score_in_one_pass(logits: Tensor, answers: Tensor, z_loss: float, wanted: bool) -> tuple[Tensor, Tensor | None]:
    """For the compiler, which makes one kernel of it: a float32 copy of the logits exists in registers alone."""
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    norm = exact.logsumexp(1, keepdim=True)
    loss = (norm - exact.gather(1, answers)).sum()
    if not wanted:
        return loss, None
    softmax = (exact - norm).exp() * (1 + 2 * z_loss * norm)
    is_answer = torch.arange(logits.shape[1], device=logits.device) == answers
    return loss, logits.copy_(softmax - is_answer.to(exact.dtype))


def _way(device: str, vocabulary: int) -> tuple[Score, int]:
    """How logits are scored on a device, and how many rows at a time."""
    if device == "cuda":
        return compiled_score(), LOGIT_ROWS
    return score_in_place, max(128, LOGIT_BYTES // (4 * vocabulary))


@cache
def compiled_score() -> Score:
    """`score_in_one_pass` as a kernel; chunks of any number of rows share it."""
    compiled = torch.compile(score_in_one_pass, dynamic=False)

    def score(logits: Tensor, answers: Tensor, z_loss: float, wanted: bool) -> tuple[Tensor, Tensor | None]:
        for tensor in (logits, answers):
            torch._dynamo.maybe_mark_dynamic(tensor, 0)
        return compiled(logits, answers, z_loss, wanted)

    return score
