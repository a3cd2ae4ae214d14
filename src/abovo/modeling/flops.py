"""Turn a model's shape into the floating-point operations that training on one token takes."""

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
