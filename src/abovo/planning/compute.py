"""Turn a model's shape and a number of tokens into floating-point operations, and those into hours on a machine."""

from collections.abc import Mapping
from typing import Any

from abovo.modeling.parameters import ParameterCount

BACKWARD = 2  # a backward pass costs two forward passes: one product for the inputs' gradients, one for the weights'


def training_flops_per_token(model: Mapping[str, Any], count: ParameterCount, sequence_length: int) -> int:
    """Operations to train on one token: 6 N for the matrices, 12 L H h T for the attention scores.

    N are the parameters that a token is multiplied with, the output table included and an untied input table not
    (Kaplan et al. 2020, arXiv:2001.08361, section 2.1, counts no table at all); the attention term is that of PaLM
    (Chowdhery et al. 2022, arXiv:2204.02311, appendix B), which counts full rows although the mask is causal.
    """
    attention = 4 * model["layers"] * model["heads"] * model["head_dim"] * sequence_length
    return (1 + BACKWARD) * (2 * count.multiplied + attention)


def adapter_flops_per_token(model: Mapping[str, Any], count: ParameterCount, sequence_length: int) -> int:
    """As above with frozen weights: no products for the gradients of the matrices, so 4 N in place of 6 N.

    The adapters' own products are left out; they are a few percent at the usual ranks.
    """
    return training_flops_per_token(model, count, sequence_length) - 2 * count.multiplied


def hours(flops: float, machine: Mapping[str, Any]) -> list[float]:
    """Shortest and longest expected training time on a machine of config/hardware (hours)."""
    best, worst = max(machine["utilization"]), min(machine["utilization"])
    per_hour = machine["peak_flops_per_second"] * 3600
    return [float(f"{flops / per_hour / share:.3g}") for share in (best, worst)]
