"""Turn torch optimizers into the one that ZeRO steps, over parameters that it has made parts of long rows of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from abovo.training.muon import Muon
from abovo.training.world import World

# What an optimizer keeps of each parameter in tensors of the parameter's size
KEPT: dict[type, tuple[str, ...]] = {Muon: ("momentum_buffer",), torch.optim.AdamW: ("exp_avg", "exp_avg_sq")}


class Combined(torch.optim.Optimizer):
    """Optimizers that step together; ZeRO may show it any of its groups alone. The state is one."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = parts
        self.owners = {id(group): part for part in parts for group in part.param_groups}
        for part in parts:
            part.state = self.state

    def at_step(self, step: int) -> None:
        """Tell those that have a value of their own which moves over the steps."""
        for part in self.parts:
            if hasattr(part, "at_step"):
                part.at_step(step)

    def owner(self, group: Mapping[str, Any]) -> torch.optim.Optimizer:
        """The optimizer that steps a group of parameters."""
        return self.owners[id(group)]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step of the groups that are shown now; a closure is not called."""
        for group in self.param_groups:
            part = self.owner(group)
            own, part.param_groups = part.param_groups, [group]
            part.step()
            part.param_groups = own


@dataclass(frozen=True)
class Layout:
    """Where matrices of `shapes` begin in a long row that the processes hold equal parts of.

    The row is that of all matrices one after the other, or, if `cut`, each process's part is that of its parts of each
    matrix. Gaps and what pads the row or the parts belong to no matrix.
    """

    shapes: tuple[torch.Size, ...]
    starts: tuple[int, ...]
    cut: bool

    def matrices(self, row: Tensor) -> list[Tensor]:
        """The matrices in `row` [processes, length of a part]."""
        found = []
        for shape, start in zip(self.shapes, self.starts, strict=True):
            size = shape.numel()
            cells = row[:, start : start + -(-size // len(row))].flatten() if self.cut else row.flatten()[start:]
            found.append(cells[:size].view(shape))
        return found

    def row(self, matrices: Sequence[Tensor], like: Tensor) -> Tensor:
        """The reverse: a row of the size of `like`."""
        row = torch.zeros_like(like)
        for start, matrix in zip(self.starts, matrices, strict=True):
            cells = matrix.flatten()
            if self.cut:
                length = -(-len(cells) // len(row))
                cells = torch.nn.functional.pad(cells, (0, length * len(row) - len(cells)))
                row[:, start : start + length] = cells.view(len(row), length)
            else:
                row.view(-1)[start : start + len(cells)] = cells
        return row


class AsRows:
    """Matrices in the rows of ZeRO, told by `layouts`; they are put together on the device of the `world`."""

    def __init__(self, layouts: Mapping[Tensor, Layout], world: World) -> None:
        self.layouts, self.world = layouts, world

    def whole(self, parameter: Tensor, tensor: Tensor) -> list[Tensor]:
        return self.layouts[parameter].matrices(self._gathered(tensor.to(self.world.device)))

    def own(self, parameter: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        like = matrices[0].new_empty(self.world.size, parameter.numel())
        return self.layouts[parameter].row(matrices, like)[self.world.rank].to(parameter.device)

    def _gathered(self, part: Tensor) -> Tensor:
        row = part.new_empty(self.world.size, part.numel())
        if self.world.size == 1:
            row[0] = part
        else:
            dist.all_gather(list(row), part)
        return row
