"""Turn a model's settings into a model with seeded, untrained weights; nothing is downloaded."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from abovo.modeling.family import family_named
from abovo.modeling.parameters import padded_vocabulary
from abovo.settings.model import Model

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def build_model(
    model: Model, vocabulary_size: int, sequence_length: int, seed: int, eos: int | None = None, pad: int | None = None
) -> "PreTrainedModel":
    """A model with initial weights drawn from `seed`, in float32 on the CPU; `eos` and `pad` are its tokenizer's ids.

    transformers never moves the row of `pad` in a table of inputs, so a pad that ends texts too is not named.

    Raises AbovoError for a family that is not in FAMILIES.
    """
    family = family_named(model.family)
    torch.manual_seed(seed)
    built = family.build(model, padded_vocabulary(vocabulary_size), sequence_length, eos, pad if pad != eos else None)
    writers = family.residual_writers(built)
    with torch.no_grad():
        for weight in writers:
            weight.mul_(RESIDUAL_INIT[model.residual_init](len(writers)))
    return built


# By which the initial weights of the matrices that write into the residual stream are multiplied: nothing; 1/sqrt(n) of
# n such matrices (2 L in a decoder), so that the stream's variance does not grow with depth (GPT-2); zero, so that
# every block starts as the identity (Goyal et al. 2017 for the last norm of a block, arXiv:1706.02677).
RESIDUAL_INIT: dict[str, Callable[[int], float]] = {
    "normal": lambda writers: 1.0,
    "scaled": lambda writers: writers**-0.5,
    "zero": lambda writers: 0.0,
}
