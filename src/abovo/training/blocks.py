"""Turn a recipe's wishes about memory and speed into a model whose blocks recompute or are compiled."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def prepare_model(model: nn.Module, recipe: Mapping[str, Any], device: torch.device) -> nn.Module:
    """The model with its blocks checkpointed or compiled as the recipe says; results are the same to rounding.

    On a CPU nothing is ever compiled: results there are bit-equal on any machine with the same processor.
    """
    if recipe["activation_checkpointing"]:
        model.activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    if recipe["compile"] == "auto" and device.type == "cuda":
        for block in blocks_of(model):
            block.compile()
    return model


def blocks_of(model: nn.Module) -> nn.ModuleList:
    """The model's blocks, in their order."""
    return next(module for module in model.modules() if isinstance(module, nn.ModuleList))
