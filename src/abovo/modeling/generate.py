"""Turn beginnings into what a model writes after them: greedy or drawn, several at once, an id at a time.

Rows of different lengths need no padding: all are read up to where the shortest ends, then on, column by column, a
longer one giving its own ids until it is through. Every row has the positions that it would have alone, whatever the
family, attention or recurrent, and wherever the logits come from.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from abovo.modeling.family import base_of, family_of

# Takes ids, int64 [rows, n], which follow those of the calls before; gives logits [rows, V] of what follows the last.
Reader = Callable[[torch.Tensor], torch.Tensor]
# Takes the ids that were chosen and gives those that count: where several processes choose, one of them decides.
Agree = Callable[[list[int]], list[int]]


@dataclass(frozen=True)
class Limits:
    """Where a row ends: at one of `stops`, after `new_tokens` ids, or at `context` ids in all, the beginning's too."""

    new_tokens: int
    context: int
    stops: Collection[int]


@dataclass(frozen=True)
class Drawing:
    """How ids are drawn: from the logits over `temperature`, among the `top_k` likeliest, and of these among the fewest
    that hold `top_p` of the probability. Each row has a generator of its own, on the CPU, and takes one number from it
    per id: what it draws depends on no other row and moves no other random stream.
    """

    generators: Sequence[torch.Generator]
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature <= 0 or not 0 < self.top_p <= 1 or (self.top_k is not None and self.top_k < 1):
            raise ValueError("temperature must be above 0, top_p in (0, 1], top_k at least 1")

    def choose(self, logits: torch.Tensor, row: int) -> int:
        """An id for a row from its logits [V], drawn in float64 on the CPU, so that the device changes rounding only.

        Ids of equal logits stand in their own order.
        """
        scaled, ids = (logits.double().cpu() / self.temperature).sort(descending=True, stable=True)
        reached = scaled[: self.top_k].softmax(0).cumsum(0)
        kept = reached[: int((reached < self.top_p * reached[-1]).sum()) + 1]
        drawn = torch.rand((), generator=self.generators[row], dtype=torch.float64) * kept[-1]
        return int(ids[min(int((kept <= drawn).sum()), len(kept) - 1)])


@dataclass
class Written:
    """What was written after a beginning: its ids, and the stop that ended it, which is not among them; None where a
    limit did."""

    ids: list[int] = field(default_factory=list)
    stop: int | None = None


def write(
    read: Reader,
    beginnings: Sequence[Sequence[int]],
    limits: Limits,
    drawing: Drawing | None = None,
    agree: Agree = list,
) -> list[Written]:
    """What follows each beginning; the likeliest id at each place where there is no `drawing`."""
    written = [Written() for _ in beginnings]
    for step in steps(read, beginnings, limits, drawing, agree):
        for row, following in step.items():
            if following in limits.stops:
                written[row].stop = following
            else:
                written[row].ids.append(following)
    return written


def steps(
    read: Reader,
    beginnings: Sequence[Sequence[int]],
    limits: Limits,
    drawing: Drawing | None = None,
    agree: Agree = list,
) -> Iterator[dict[int, int]]:
    """The same as it comes: at every step row -> id, the stop of a row too, for the rows that get one.

    No beginning is empty: a text without one follows whatever its tokenizer puts before a text. Of one that fills the
    context only the last ids count, so many that there is room for one more.
    """
    rows = [list(beginning[-(limits.context - 1) :]) for beginning in beginnings]
    ends = [min(limits.context, len(row) + limits.new_tokens) for row in rows]
    unfinished, seen = set(range(len(rows))), 0
    while unfinished:
        column = min(len(rows[number]) for number in unfinished)
        # what a finished row is given changes no other
        ids = [(row + [0] * (column - len(row)))[seen:column] for row in rows]
        logits, seen = read(torch.tensor(ids)), column
        due = [number for number in sorted(unfinished) if len(rows[number]) == column]
        step = dict(zip(due, agree(_choose(logits, due, drawing)), strict=True))
        for number, following in step.items():
            rows[number].append(following)
            if following in limits.stops or len(rows[number]) == ends[number]:
                unfinished.remove(number)
        yield step


def _choose(logits: torch.Tensor, rows: list[int], drawing: Drawing | None) -> list[int]:
    if drawing is None:
        return logits[rows].argmax(-1).tolist()
    return [drawing.choose(logits[row], row) for row in rows]


class ModelReader:
    """Reads through a model that is whole, keeping what its family keeps of the ids that were read; of a family that
    keeps nothing, all ids again each time. Give it a model in evaluation mode; a reader is for one text per row.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.family = base_of(model), family_of(model)
        self.output = self.family.output(self.model)
        self.ids: torch.Tensor | None = None
        self.cache: Any = None

    @torch.inference_mode()
    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        ids = ids.to(self.output.device)
        if self.cache is None and self.ids is not None:
            ids = torch.cat([self.ids, ids], 1)
        self.ids = ids
        found = self.family.step(self.model, ids, self.cache, keep=True)
        self.cache = found.cache
        return torch.nn.functional.linear(found.hidden[:, -1], self.output)
