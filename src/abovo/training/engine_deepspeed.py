"""Carry out training steps through DeepSpeed: optimizer state (ZeRO 1), gradients (2) and weights (3) spread out.

Weights and optimizer state leave and enter by parameter name, in the form that a single process of torch has, so a run
can go on under another engine. DeepSpeed is pinned: some of what is asked of it here is not in its documentation.
"""

import logging
import math
import os
from collections.abc import Iterable, Mapping
from copy import deepcopy
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from abovo.errors import AbovoError
from abovo.settings.engine import Engine as EngineSettings
from abovo.settings.training import Training
from abovo.training.compiling import compiles_blocks
from abovo.training.engines import in_shape, micro_batch, rows_at_once
from abovo.training.loss import Batch, SummedLoss
from abovo.training.muon import Muon
from abovo.training.optimizers import Optimizers
from abovo.training.parted import KEPT, AsRows, Combined, Layout
from abovo.training.precision import LossScale
from abovo.training.world import World
from abovo.training.zero_settings import zero_settings

# Where DeepSpeed's optimizers keep this process's part of the float32 weights: ZeRO 3, ZeRO 1 in bf16, ZeRO 1 and 2.
PARTS = ("fp32_partitioned_groups_flat", "fp32_groups_flat_partition", "single_partition_of_fp32_groups")


class DeepSpeedEngine:
    """The engine of kind deepspeed, for global batches of `rows` rows. The optimizers are the recipe's own, torch's
    among them, so DeepSpeed has nothing to compile."""

    whole = False

    def __init__(self, model: nn.Module, recipe: Training, world: World, engine: EngineSettings, rows: int) -> None:
        self.world = world
        self.micro_batch = micro_batch(recipe)
        self.compiled = compiles_blocks(recipe, world.device)
        self.parameters: dict[str, Any] = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.optimizers = Optimizers(model.to(world.device).train(), recipe.optimizer)
        self.combined = Combined(self.optimizers.parts)
        names = {id(parameter): name for name, parameter in self.parameters.items()}
        self.groups = [[names[id(parameter)] for parameter in g["params"]] for g in self.combined.param_groups]
        self.shapes = {name: parameter.shape for name, parameter in self.parameters.items()}
        self.scale = LossScale(recipe.precision)
        self.norm = torch.tensor(math.nan)
        exact = {name: p.detach().clone() for name, p in self.parameters.items() if recipe.precision != "fp32"}
        size = sum(parameter.numel() for parameter in self.parameters.values())
        settings = zero_settings(recipe, engine, world.size, rows, size)
        self.stage: int = settings["zero_optimization"]["stage"]
        self.told: Mapping[str, Any] = {"deepspeed.json": settings}
        self.engine = _initialize(SummedLoss(model, recipe.z_loss), self.combined, settings, world)
        self.zero = self.engine.optimizer
        self.optimizers.parts = [_Step(self.engine, self.combined)]  # type: ignore[list-item]
        self._find_rows()
        if exact:
            # DeepSpeed makes the float32 weights from the rounded ones
            self._put(exact)
            self._refresh()

    @property
    def learning_rate(self) -> float:
        return self.optimizers.learning_rate

    def gradient(self, batch: Batch, targets: int) -> torch.Tensor:
        # of overflowing gradients DeepSpeed makes no step, and forgets them
        total, self.norm = self.scale.until_finite(lambda: (self._pass(batch, targets), self._norm()), self.engine.step)
        return total.to(self.world.exact) / targets

    def _pass(self, batch: Batch, targets: int) -> torch.Tensor:
        """Forward and backward. Returns the summed losses, leaves scaled gradients of the mean of the first."""
        if self.scale.changes:
            self.zero.override_loss_scale(self.scale.value)
        # DeepSpeed averages over the processes, the loss is a sum: undo the average
        scale = self.world.size / targets
        total = torch.zeros((), device=self.world.device)
        parts = list(batch.split(self.micro_batch))
        for number, part in enumerate(parts, 1):
            self.engine.set_gradient_accumulation_boundary(number == len(parts))
            losses = self.engine(*part.arguments(self.world.device))
            self.engine.backward(losses[0] * scale, scale_wrt_gas=False)
            total = total + losses.detach()
        return total

    def _norm(self) -> torch.Tensor:
        """The global norm of the gradients, without the scale."""
        from deepspeed.runtime.utils import combine_grad_norm_groups, get_global_norm_of_tensors

        if self.stage == 3:
            norm = combine_grad_norm_groups(self.zero._get_norm_groups())
        elif hasattr(self.zero, "get_grads_for_norm"):
            norm = get_global_norm_of_tensors(self.zero.get_grads_for_norm()[0])
        else:
            norm = self.zero.scaled_global_norm()
        norm = torch.as_tensor(norm, device=self.world.device)
        return torch.where(norm >= 0, norm / self.scale.value, math.inf)

    def clip(self, largest: float | None) -> torch.Tensor:
        self.zero.clip_grad = largest or 0.0  # DeepSpeed does it in its step
        return self.norm

    def step(self, factor: float, step: int, decay: float = 1.0) -> None:
        self.optimizers.step(factor, step, decay)
        self.scale.passed()

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> float:
        self.engine.eval()
        batch = batch.rows(slice(0, rows_at_once(self, len(batch.ids))))
        total = self.engine(*batch.arguments(self.world.device))[0].item()
        self.engine.train()
        return total

    @torch.no_grad()
    def predict(self, ids: torch.Tensor, column: int) -> torch.Tensor:
        self.engine.eval()
        logits = in_shape(self, ids, lambda rows: self.engine(rows.to(self.world.device), predict=column))
        self.engine.train()
        return logits

    def state(self) -> dict[str, Any]:
        weights = self.weights()
        kept = [self._state_of(part) for part in self.combined.parts]
        return {"model": weights, "optimizers": kept, "scale": self.scale.state()} if self.world.leads else {}

    def _state_of(self, part: torch.optim.Optimizer) -> dict[str, Any]:
        """The state of one optimizer, as torch's functions for checkpoints have it in one process."""
        groups = [
            {**{key: value for key, value in group.items() if key != "params"}, "params": names}
            for group, names in zip(self.zero.param_groups, self.groups, strict=True)
            if self.combined.owner(group) is part
        ]
        names = [name for group in groups for name in group["params"]]
        found = {key: self._get(names, key) for key in KEPT[type(part)]}
        if not self.world.leads:
            return {}
        state = {name: {key: tensors[name] for key, tensors in found.items()} for name in names}
        for count in self._counts(part)[:1]:
            for kept in state.values():
                kept["step"] = count.to("cpu", copy=True)
        return {"state": state, "param_groups": groups}

    def load(self, state: dict[str, Any]) -> None:
        self._put(state["model"])
        self._refresh()
        for part, saved in zip(self.combined.parts, state["optimizers"], strict=True):
            for count in self._counts(part):
                count.copy_(next(iter(saved["state"].values()))["step"])
            for key in KEPT[type(part)]:
                self._put({name: values[key] for name, values in saved["state"].items()}, key)
        self.scale.load(state["scale"])

    def weights(self) -> dict[str, torch.Tensor]:
        return self._get(self.parameters)

    def _get(self, names: Iterable[str], key: str | None = None) -> dict[str, torch.Tensor]:
        """Float32 weights of parameters, or what is kept of them as `key`, whole, on rank 0; the others help."""
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        found = {}
        for name in names:
            parameter = self.parameters[name]
            whole = safe_get_full_optimizer_state(parameter, key) if key else safe_get_full_fp32_param(parameter)
            if self.world.leads:
                found[name] = whole.detach().to("cpu", copy=True)
        return found

    def _put(self, values: Mapping[str, torch.Tensor], key: str | None = None) -> None:
        """The reverse: every process keeps its part of the whole tensors."""
        from deepspeed import utils

        for name, value in values.items():
            parameter = self.parameters[name]
            if self.stage < 3:
                parameter.set_full_hp_param(value, key)
                continue
            length = parameter.ds_tensor.numel()
            part = torch.zeros(length * self.world.size)
            part[: value.numel()] = value.flatten()
            part = part[length * self.world.rank : length * (self.world.rank + 1)]
            if key:
                utils.safe_set_local_optimizer_state(parameter, part, key)
            else:
                utils.safe_set_local_fp32_param(parameter, part)

    def _refresh(self) -> None:
        """Make the weights that the model computes with from the float32 ones."""
        zero = self.zero
        if self.stage < 3:
            zero.update_lp_params()
            return
        zero._partition_all_parameters()  # forgets whole copies
        for group in range(len(zero.fp16_groups)):
            zero._reassign_or_swap_out_partitioned_parameters(group)
        if zero.persistent_parameters:
            zero.persistent_parameters[0].all_gather(zero.persistent_parameters)

    def _find_rows(self) -> None:
        """Tell the optimizers of the rows that DeepSpeed has made of their parameters, and make what they keep of them.

        They would make it at their first step, but too late for DeepSpeed to find it.
        """
        zero, layouts = self.zero, {}
        self._rows: list[tuple[torch.optim.Optimizer, dict[str, Any]]] = []
        for number, row in enumerate(next(getattr(zero, name) for name in PARTS if hasattr(zero, name))):
            group = zero.sub_group_to_group_id[number] if self.stage == 3 else number
            part = self.combined.owner(zero.param_groups[group])
            state = {key: torch.zeros_like(row, requires_grad=False) for key in KEPT[type(part)]}
            if isinstance(part, Muon):
                layouts[row] = self._layout(number)
                part.spread = AsRows(layouts, self.world)
            else:
                state["step"] = torch.zeros((), device=row.device)
            zero.optimizer.state[row] = state
            self._rows.append((part, state))
        if self.stage < 3:
            zero._lazy_init_hp_params_optimizer_state()

    def _layout(self, number: int) -> Layout:
        """Where the matrices of a row are."""
        names = {id(parameter): name for name, parameter in self.parameters.items()}
        if self.stage == 3:
            parameters = self.zero.fp16_groups[number]
            lengths = [parameter.partition_numel() for parameter in parameters]
        else:
            parameters = getattr(self.zero, "bit16_groups" if hasattr(self.zero, "bit16_groups") else "bf16_groups")
            parameters = parameters[number]
            lengths = [parameter.numel() for parameter in parameters]
        shapes = tuple(self.shapes[names[id(parameter)]] for parameter in parameters)
        return Layout(shapes, tuple(accumulate(lengths[:-1], initial=0)), cut=self.stage == 3)

    def _counts(self, part: torch.optim.Optimizer) -> list[torch.Tensor]:
        """The numbers of steps that an optimizer counts, of each of its rows."""
        return [state["step"] for owner, state in self._rows if owner is part and "step" in state]


class _Step:
    """DeepSpeed's engine in the place of a torch optimizer."""

    def __init__(self, engine: Any, combined: Combined) -> None:
        self.engine, self.at_step = engine, combined.at_step

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.engine.optimizer.param_groups

    def step(self) -> None:
        self.engine.step()


def _initialize(loss: nn.Module, optimizer: torch.optim.Optimizer, settings: Mapping[str, Any], world: World) -> Any:
    """DeepSpeed's engine over our process group."""
    os.environ.setdefault("DS_ACCELERATOR", world.device.type)
    os.environ.setdefault("LOCAL_RANK", "0")  # what a launcher sets; a single process has none
    try:
        import deepspeed
    except ImportError:
        mend = "install it (Linux only), or use an engine of kind torch"
        raise AbovoError("DeepSpeed is not installed", "engine.kind", mend) from None
    from deepspeed.utils import logger

    logger.setLevel(logging.ERROR)
    if "fp16" in settings and not deepspeed.accelerator.get_accelerator().is_fp16_supported():
        raise AbovoError("DeepSpeed has no fp16 on this processor", "training.precision", "use fp32 or bf16")
    # an operator for inference that would take g++ a minute to compile at the first start
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_init_required=False)
    # a copy: DeepSpeed writes into what it is given
    return deepspeed.initialize(model=loss, optimizer=optimizer, config=deepcopy(dict(settings)))[0]
