"""Turn beginnings into what a model writes after them: greedy or drawn, several at once, an id at a time.

Rows of different lengths need no padding: all are read up to where the shortest ends, then on, column by column, a
longer one giving its own ids until it is through. Every row has the positions that it would have alone, whatever the
family, attention or recurrent, and wherever the logits come from.
"""

import inspect
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
    that hold `top_p` of the probability; the likeliest at a temperature of 0. The logits of ids that a row holds
    already are first divided by `repetition_penalty`, or multiplied where they are negative (Keskar et al. 2019,
    arXiv:1909.05858, section 4.1).

    Each row has a generator of its own, on the CPU, and takes one number from it per id that is drawn: what it draws
    depends on no other row and moves no other random stream.
    """

    generators: Sequence[torch.Generator] = ()
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or (self.top_k is not None and self.top_k < 1):
            raise ValueError("temperature must be at least 0, top_p in (0, 1], top_k at least 1")
        if self.repetition_penalty <= 0:
            raise ValueError("repetition_penalty must be above 0")

    def choose(self, logits: torch.Tensor, row: int, held: Sequence[int] = ()) -> int:
        """An id for a row that holds the ids `held`, from its logits [V]; in float64 on the CPU, so that the device
        changes rounding only. Ids of equal logits stand in their own order.
        """
        scores = logits.double().cpu()
        if self.repetition_penalty != 1 and held:
            ids = torch.tensor(sorted(set(held)))
            found = scores[ids]
            scores = scores.index_copy(
                0, ids, torch.where(found < 0, found * self.repetition_penalty, found / self.repetition_penalty)
            )
        if self.temperature == 0:
            return int(scores.argmax())
        ids = torch.arange(len(scores))
        if self.top_k is not None and self.top_k < len(scores):
            ids = (scores >= scores.topk(self.top_k).values[-1]).nonzero()[:, 0]  # those that tie with the last, too
        scaled, order = (scores[ids] / self.temperature).sort(descending=True, stable=True)
        reached = scaled[: self.top_k].softmax(0).cumsum(0)
        kept = reached[: int((reached < self.top_p * reached[-1]).sum()) + 1]
        drawn = torch.rand((), generator=self.generators[row], dtype=torch.float64) * kept[-1]
        return int(ids[order[min(int((kept <= drawn).sum()), len(kept) - 1)]])


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
        step = dict(zip(due, agree(_choose(logits, rows, due, drawing)), strict=True))
        for number, following in step.items():
            rows[number].append(following)
            if following in limits.stops or len(rows[number]) == ends[number]:
                unfinished.remove(number)
        yield step


def _choose(logits: torch.Tensor, rows: list[list[int]], due: list[int], drawing: Drawing | None) -> list[int]:
    if drawing is None:
        return logits[due].argmax(-1).tolist()
    return [drawing.choose(logits[number], number, rows[number]) for number in due]


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


class StockReader:
    """The same through a model of a class of transformers that no family of ours answers for.

    `keeps` says that the model reads on from what it kept (`reads_on`); one that does not reads all ids again.
    """

    def __init__(self, model: Any, keeps: bool) -> None:
        self.model, self.keeps = model, keeps
        self.last = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
        self.ids: torch.Tensor | None = None
        self.cache: Any = None

    @torch.inference_mode()
    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        ids = ids.to(self.model.device)
        if self.keeps:
            found = self.model(input_ids=ids, past_key_values=self.cache, use_cache=True, **self.last)
            self.cache = found.past_key_values
        else:
            self.ids = ids if self.ids is None else torch.cat([self.ids, ids], 1)
            found = self.model(input_ids=self.ids, use_cache=False, **self.last)
        return found.logits[:, -1]


def reads_on(model: Any, rows: int) -> bool:
    """Whether a model of another's class, which knows `rows` ids, gives the logits of the whole text where it reads on
    from what it kept: tried once on random ids, since classes keep what they need in their own ways."""
    drawn = torch.randint(rows, (1, 12), generator=torch.Generator().manual_seed(1))
    try:
        kept = StockReader(model, keeps=True)
        found = torch.cat([kept(part) for part in (drawn[:, :7], drawn[:, 7:8], drawn[:, 8:])]).float()
        if kept.cache is None:
            return False
        whole = torch.cat([StockReader(model, keeps=False)(drawn[:, :length]) for length in (7, 8, 12)]).float()
    except Exception:  # what a class of another's does with what it kept, nobody knows
        return False
    near = 1e-4 if next(model.parameters()).dtype == torch.float32 else 0.05
    return bool(((found - whole).norm(dim=-1) <= near * whole.norm(dim=-1)).all())
