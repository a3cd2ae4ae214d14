"""Turn rows of token ids into the next-token loss: the one place where labels are shifted.

A row of L ids has L-1 targets: what the model says at ids 0..L-2 is scored on ids 1..L-1. No label is shifted anywhere
else, and no model is ever handed labels.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from abovo.modeling.norms import use_few_passes
from abovo.training.cross_entropy import summed_cross_entropy


@dataclass(frozen=True)
class Batch:
    """Rows of ids, int64 [rows, L], and which of them count as targets, bool [rows, L] (column 0 never does)."""

    ids: torch.Tensor
    counts: torch.Tensor

    @property
    def targets(self) -> int:
        """How many targets count."""
        return int(self.counts[:, 1:].sum())

    def split(self, rows: int) -> Iterable["Batch"]:
        """The batch in pieces of at most `rows` rows."""
        for first in range(0, len(self.ids), rows):
            yield Batch(self.ids[first : first + rows], self.counts[first : first + rows])

    def rows(self, part: slice) -> "Batch":
        """Some rows of the batch. An empty part becomes one row that counts nothing: whoever takes part in a step of
        several processes must go through the model as often as the others."""
        if len(self.ids[part]):
            return Batch(self.ids[part], self.counts[part])
        return Batch(self.ids[:1], torch.zeros_like(self.counts[:1]))

    def arguments(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What SummedLoss takes, on `device`. That all targets count is found out here, where it costs no wait."""
        ids = self.ids.to(device, non_blocking=True)
        if bool(self.counts[:, 1:].all()):
            return ids, None
        return ids, self.counts.to(device, non_blocking=True)


class SummedLoss(nn.Module):
    """A model with its loss: (ids, counts) -> sum of the cross-entropy over the targets that count (nats, float32).

    The output matrix is multiplied with the positions before those targets only, a chunk at a time.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        use_few_passes(model)

    def forward(self, ids: torch.Tensor, counts: torch.Tensor | None) -> torch.Tensor:
        """`counts` None stands for all."""
        # adapters wrap the model that holds the blocks and the output matrix
        wrapped: Any = self.model
        plain = wrapped.get_base_model() if hasattr(wrapped, "get_base_model") else wrapped
        hidden = plain.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
        targets = ids[:, 1:].flatten()
        if counts is not None:
            chosen = counts[:, 1:].flatten().nonzero().squeeze(1)
            hidden, targets = hidden.index_select(0, chosen), targets[chosen]
        return summed_cross_entropy(hidden, plain.lm_head.weight, targets)


def summed_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Sum of the cross-entropy over the batch's targets that count (nats), on the model's device."""
    return SummedLoss(model)(*batch.arguments(next(model.parameters()).device))


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Automatic mixed precision for one forward pass: bfloat16 where asked for, else off."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
