"""Turn the options of a row into lines of ids for a model, where what options begin with in common stands once.

A line is a tree laid flat: an id sees those on its way to the root and no other, and its position is its distance from
there, so that an option gets the values that it would get alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from abovo.evaluation.options import Ids, Option

# A tree has to save this share of the ids, since its attention needs a mask and sees pairs that count for nothing.
WORTH = 0.1


@dataclass(frozen=True)
class Asked:
    """An option as it fits into the context: after each of the last `inputs` stands one of the `targets`."""

    number: int
    inputs: Ids
    targets: Ids
    cut: int


@dataclass
class Line:
    """Ids and their distances from the root; `branches` are (first, ids on the way to it); `nodes` are the places
    after which `targets` are scored, each for the option in `owners`."""

    ids: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    branches: list[tuple[int, np.ndarray]] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_tree(self) -> bool:
        return len(self.branches) > 1

    def visible(self) -> np.ndarray:
        """Which ids (second) an id (first) sees, bool [n, n]."""
        seen = np.tri(len(self), dtype=bool)
        for first, end, way in self._spans():
            seen[first:end, :first] = False
            seen[first:end, way] = True
        return seen

    def _spans(self) -> list[tuple[int, int, np.ndarray]]:
        ends = [first for first, _ in self.branches[1:]] + [len(self)]
        return [(first, end, way) for (first, way), end in zip(self.branches, ends, strict=True)]


def ask(number: int, option: Option, context: int, prefix: int) -> Asked:
    """What is given and asked for an option: at most `context` ids, the first ones being cut."""
    whole = (option.context or (prefix,)) + option.scored
    kept = whole[-(context + 1) :]
    scored = min(len(option.scored), len(kept) - 1)
    return Asked(number, kept[:-1], kept[len(kept) - scored :], len(whole) - len(kept))


@dataclass(frozen=True)
class Layout:
    """The lines of a row: an option each, and trees where they save enough. Options with the same inputs share a line
    in both."""

    apart: list[Line]
    together: list[Line] | None

    @property
    def longest_tree(self) -> int:
        return max((len(line) for line in self.together or () if line.is_tree), default=0)

    def lines(self, longest_tree: int) -> list[Line]:
        """Trees where none is longer than `longest_tree`."""
        fits = self.together is not None and self.longest_tree <= longest_tree
        return self.together if fits and self.together is not None else self.apart


def lay(row: Sequence[Asked]) -> Layout:
    """The lines of the options of a row."""
    apart = _laid(row, share=False)
    together = _laid(row, share=True) if len(apart) > 1 else apart
    saves = sum(map(len, together)) <= (1 - WORTH) * sum(map(len, apart))
    return Layout(apart, together if saves else None)


def _laid(row: Sequence[Asked], *, share: bool) -> list[Line]:
    lines: list[Line] = []
    placed: list[tuple[Line, Ids, np.ndarray]] = []
    for one in row:
        line, way = None, np.empty(0, np.int64)
        for other, inputs, there in placed:
            common = _common(inputs, one.inputs)
            if common > len(way) and (share or common == len(one.inputs)):
                line, way = other, there[:common]
        if line is None:
            line = Line()
            lines.append(line)
        first, rest = len(line), one.inputs[len(way) :]
        if rest:
            line.branches.append((first, way))
            line.ids += rest
            line.depths += range(len(way), len(one.inputs))
            way = np.concatenate([way, np.arange(first, len(line))])
        placed.append((line, one.inputs, way))
        line.nodes += way[len(way) - len(one.targets) :].tolist()
        line.targets += one.targets
        line.owners += [one.number] * len(one.targets)
    return lines


def _common(one: Ids, other: Ids) -> int:
    """How many ids both begin with."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))
