"""Turn a recipe's wishes about memory and speed into a model whose blocks recompute or are compiled."""

import torch
from torch import nn

from abovo.modeling.family import base_of, family_of
from abovo.settings.training import Training
from abovo.training.compiling import compiles_blocks


def prepare_model(model: nn.Module, recipe: Training, device: torch.device) -> nn.Module:
    """The model with its blocks checkpointed or compiled as the recipe says; results are the same to rounding.

    On a CPU nothing is ever compiled: results there are bit-equal on any machine with the same processor.
    """
    family, base = family_of(model), base_of(model)
    if recipe.activation_checkpointing:
        family.recompute_blocks(base)
    if compiles_blocks(recipe, device):
        for block in family.blocks(base):
            block.compile()
    return model
