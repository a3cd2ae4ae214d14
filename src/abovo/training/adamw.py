"""Turn a model and a recipe into AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), torch's, in one fused pass."""

from typing import Any

import torch
from torch import nn

from abovo.settings.training import Optimizer
from abovo.training.groups import groups_of


def adamw(model: nn.Module, recipe: Optimizer) -> list[torch.optim.Optimizer]:
    """AdamW over all that trains; only matrices decay."""
    found = groups_of(model)
    groups = [
        {"params": [*found.matrices, *found.output], "weight_decay": recipe.weight_decay},
        {"params": found.others, "weight_decay": 0.0},
    ]
    return [adamw_over([group for group in groups if group["params"]], recipe)]


def adamw_over(groups: list[dict[str, Any]], recipe: Optimizer) -> torch.optim.Optimizer:
    """AdamW with the recipe's values over these groups of parameters."""
    assert recipe.learning_rate != "auto", "the configuration reckons it"
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.epsilon, fused=True)
