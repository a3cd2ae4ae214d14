"""Turn a model and a recipe into optimizers whose learning rates follow the schedule."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from abovo.training.muon import Float32Muon

MUON_FIRST_MOMENTUM = 0.85


class Optimizers:
    """One or two torch optimizers that step together. Learning rates are set for each step, never accumulated."""

    def __init__(self, model: nn.Module, recipe: Mapping[str, Any]) -> None:
        self.recipe = recipe
        self.parts = KINDS[recipe["kind"]](model, recipe)
        for part in self.parts:
            for group in part.param_groups:
                group["peak"], group["peak_decay"] = group["lr"], group["weight_decay"]

    def step(self, factor: float, step: int, decay: float = 1.0) -> None:
        """One step at `factor` times the peak learning rates and `decay` times the weight decay; `step` is from 1."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = group["peak"] * factor
                group["weight_decay"] = group["peak_decay"] * decay
                if isinstance(part, torch.optim.Muon):
                    group["momentum"] = _momentum(self.recipe, step)
            part.step()

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the first group, which the metrics show."""
        return self.parts[0].param_groups[0]["lr"]

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


def _groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters with and without weight decay: matrices of linear layers, and all others.

    Embeddings are two-dimensional too and are told from matrices by their module. A tied output matrix is the
    embedding's parameter and appears once.
    """
    embeddings = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    trainable = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trainable if p.ndim == 2 and id(p) not in embeddings]
    others = [p for p in trainable if p.ndim != 2 or id(p) in embeddings]
    return matrices, others


def _adamw(model: nn.Module, recipe: Mapping[str, Any]) -> list[torch.optim.Optimizer]:
    matrices, others = _groups(model)
    groups = [{"params": matrices, "weight_decay": recipe["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    return [_adamw_over([group for group in groups if group["params"]], recipe)]


def _muon(model: nn.Module, recipe: Mapping[str, Any]) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for embeddings, norms and an untied output matrix.

    `adjust_lr_fn="original"` scales an update by sqrt(max(1, rows / columns)) (Jordan et al. 2024).
    """
    matrices, others = _groups(model)
    head = getattr(model, "lm_head", None)
    output = {id(p) for p in head.parameters()} if isinstance(head, nn.Module) else set()
    blocks = [p for p in matrices if id(p) not in output]
    rest = others + [p for p in matrices if id(p) in output]
    muon = MUON[_muon_precision(recipe, blocks)](
        blocks,
        lr=recipe["muon_learning_rate"],
        momentum=recipe["muon_momentum"],
        nesterov=True,
        weight_decay=recipe["weight_decay"],
        adjust_lr_fn="original",
    )
    return [muon, _adamw_over([{"params": rest, "weight_decay": 0.0}], recipe)]


def _muon_precision(recipe: Mapping[str, Any], blocks: list[nn.Parameter]) -> str:
    """For `auto` bf16 where the device multiplies bfloat16 itself, fp32 on processors that would emulate it."""
    if recipe["muon_precision"] != "auto":
        return recipe["muon_precision"]
    native = blocks[0].is_cuda or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"


def _adamw_over(groups: list[dict[str, Any]], recipe: Mapping[str, Any]) -> torch.optim.Optimizer:
    betas = (recipe["betas"][0], recipe["betas"][1])
    return torch.optim.AdamW(groups, lr=recipe["learning_rate"], betas=betas, eps=recipe["epsilon"], fused=True)


def _momentum(recipe: Mapping[str, Any], step: int) -> float:
    done = min(1.0, step / recipe["muon_momentum_warmup_steps"]) if recipe["muon_momentum_warmup_steps"] else 1.0
    return MUON_FIRST_MOMENTUM + (recipe["muon_momentum"] - MUON_FIRST_MOMENTUM) * done


MUON: dict[str, type[torch.optim.Muon]] = {"bf16": torch.optim.Muon, "fp32": Float32Muon}
KINDS = {"adamw": _adamw, "muon": _muon}
