"""Turn rows of token ids into the next-token loss: the one place where labels are shifted.

A row of L ids has L-1 targets: what the model says at ids 0..L-2 is scored on ids 1..L-1. No label is shifted anywhere
else, and no model is ever handed labels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from abovo.modeling.apart import sight_of
from abovo.modeling.family import base_of, family_of
from abovo.training.cross_entropy import cross_entropy_of, summed_cross_entropy

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Batch:
    """Rows of ids, int64 [rows, L], and which of them count as targets, bool [rows, L] (column 0 never does).

    `source` names where the rows come from, where validation is to tell sources apart. `firsts` are the ids, bool
    [rows, L], before which nothing is seen from there on; None where ids see all of their row that is before them.
    `auxiliary` holds the weights of the family's losses that enter the gradient beside the cross-entropy.
    """

    ids: torch.Tensor
    counts: torch.Tensor
    source: str = ""
    firsts: torch.Tensor | None = None
    auxiliary: Mapping[str, float] | None = None

    @property
    def targets(self) -> int:
        """How many targets count."""
        return int(self.counts[:, 1:].sum())

    def split(self, rows: int) -> Iterable["Batch"]:
        """The batch in pieces of at most `rows` rows."""
        for first in range(0, len(self.ids), rows):
            yield self._part(slice(first, first + rows))

    def _part(self, part: slice) -> "Batch":
        firsts = None if self.firsts is None else self.firsts[part]
        return replace(self, ids=self.ids[part], counts=self.counts[part], source="", firsts=firsts)

    def rows(self, part: slice) -> "Batch":
        """Some rows of the batch. Rows beyond its end count nothing: whoever takes part in a step of several processes
        must go through the model as often as the others."""
        missing = part.stop - max(part.start, min(part.stop, len(self.ids)))
        found = self._part(part)
        if not missing:
            return found
        empty = torch.zeros_like(self.counts[:1]).expand(missing, -1)
        ids = torch.cat([found.ids, self.ids[:1].expand(missing, -1)])
        firsts = None if found.firsts is None else torch.cat([found.firsts, empty])
        return replace(found, ids=ids, counts=torch.cat([found.counts, empty]), firsts=firsts)

    def pinned(self) -> "Batch":
        """The same with ids in memory that a GPU reads by itself, while this process does something else."""
        return replace(self, ids=self.ids.pin_memory())

    def arguments(
        self, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, Mapping[str, float] | None]:
        """What SummedLoss takes, on `device`. Which targets count, and whether any row has to be cut, is found out
        here, where it costs no wait."""
        at_once = device.type == "cuda"  # another device might read memory that was given back by then

        def moved(found: torch.Tensor) -> torch.Tensor:
            return (found.pin_memory() if at_once else found).to(device, non_blocking=at_once)

        ids = self.ids.to(device, non_blocking=at_once)
        everything = bool(self.counts[:, 1:].all())
        chosen = None if everything else moved(self.counts[:, 1:].flatten().nonzero().squeeze(1))
        cut = self.firsts is not None and bool(self.firsts[:, 1:].any())
        return ids, chosen, moved(self.firsts) if cut and self.firsts is not None else None, self.auxiliary


class SummedLoss(nn.Module):
    """A model with its loss: (ids, chosen, firsts, auxiliary) -> [1 + auxiliary losses], float32: the sum of the
    cross-entropy over the targets that count (nats), and what each auxiliary loss sums to at the ids before them.

    The first number alone has a gradient. The output matrix is multiplied with the positions before those targets only,
    a chunk at a time. `z_loss` weighs a penalty on the softmax's denominator, `auxiliary` the losses of the family that
    it names; both enter the gradient and not the value.
    """

    def __init__(self, model: nn.Module, z_loss: float) -> None:
        super().__init__()
        self.model, self.z_loss = model, z_loss
        self.family = family_of(model)
        self.family.prepare(base_of(model))

    def forward(
        self,
        ids: torch.Tensor,
        chosen: torch.Tensor | None = None,
        firsts: torch.Tensor | None = None,
        auxiliary: Mapping[str, float] | None = None,
        predict: int | None = None,
    ) -> torch.Tensor:
        """`chosen` holds the places of the targets that count, among those of all rows; None stands for all. `firsts`
        and `auxiliary` are those of a batch. With `predict`, the logits [rows, V] of what follows that column
        instead."""
        base, targets = base_of(self.model), ids[:, 1:].flatten()
        sight = None if firsts is None else sight_of(firsts)
        if (logits := self.family.logits(base, ids, sight)) is not None:
            if predict is not None:
                return logits[:, predict].float()
            logits = logits[:, :-1].flatten(0, 1)
            if chosen is not None:
                logits, targets = logits.index_select(0, chosen), targets[chosen]
            return cross_entropy_of(logits, targets, self.z_loss)[None]
        hidden: torch.Tensor | None
        measures: dict[str, torch.Tensor] = {}
        if auxiliary:
            hidden, found = self.family.measured(base, ids, _before(ids, chosen), sight)
            measures = dict(zip(self.family.auxiliary, found.unbind(), strict=True))
        elif sight is None:
            hidden = self.family.step(base, ids).hidden
        else:
            hidden = self.family.tree(base, ids, *sight)
        assert hidden is not None, "rows are cut for models alone that were tried with it"
        output = self.family.output(base)
        if predict is not None:
            return nn.functional.linear(hidden[:, predict], output).float()
        hidden = hidden[:, :-1].flatten(0, 1)
        if chosen is not None:
            hidden, targets = hidden.index_select(0, chosen), targets[chosen]
        loss = summed_cross_entropy(hidden, output, targets, self.z_loss)
        parts = [(weight, measures[name]) for name, weight in (auxiliary or {}).items()]
        for weight, part in parts:
            loss = loss + weight * (part - part.detach())
        return torch.stack([loss, *(part.detach() for _, part in parts)])


def _before(ids: torch.Tensor, chosen: torch.Tensor | None) -> torch.Tensor:
    """The ids that targets which count stand behind, bool [rows, L]."""
    found = torch.zeros_like(ids, dtype=torch.bool)
    if chosen is None:
        found[:, :-1] = True
    else:
        found[:, :-1] = torch.zeros_like(found[:, 1:]).flatten().index_fill(0, chosen, True).view(len(ids), -1)
    return found


def summed_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Sum of the cross-entropy over the batch's targets that count (nats), on the model's device."""
    return SummedLoss(model, 0.0)(*batch.arguments(next(model.parameters()).device))[0]


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Automatic mixed precision for one forward pass: bfloat16 or float16 where asked for, else off."""
    return torch.autocast(device.type, HALVES.get(precision), enabled=precision in HALVES)
