"""Turn the rows of tasks into an index that says which of them a text shares words in a row with.

What is held are the n-grams of the rows, 16 bytes each; texts stream past. One n-gram in common is enough, as in Brown
et al. 2020 (arXiv:2005.14165, appendix C).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from abovo.corpus.decontaminate import ngrams_of
from abovo.corpus.ngram_index import NgramIndex, in_order
from abovo.corpus.ngrams import PlainWords
from abovo.corpus.task_rows import TaskRows, id_of, open_task_rows
from abovo.errors import Unreachable
from abovo.settings.task import TaskRowsOf

log = logging.getLogger("abovo")


class AskedRow(NamedTuple):
    """A row that is looked for: its task, its name there, and its different n-grams."""

    task: str
    id: str
    ngrams: np.ndarray


def open_tasks(tasks: Mapping[str, TaskRowsOf]) -> tuple[dict[str, TaskRows], dict[str, str]]:
    """The tasks whose data can be had, and of the others why not."""
    opened: dict[str, TaskRows] = {}
    absent: dict[str, str] = {}
    for name, task in tasks.items():
        try:
            opened[name] = open_task_rows(task)
        except Unreachable as error:
            log.warning("task %s is absent: %s", name, error)
            absent[name] = str(error)
    return opened, absent


def asked_rows(opened: Mapping[str, TaskRows], size: int) -> Iterator[AskedRow]:
    """All rows of the tasks, with their n-grams of `size` words; where a task has several sets they are SET/NAME."""
    for name, rows in opened.items():
        numbers: dict[str, int] = {}
        for part, row in rows.read():
            number = numbers[part] = numbers.get(part, -1) + 1
            own = id_of(rows.task, number, row)
            ngrams = ngrams_of(row, rows.task.decontaminate, size)
            yield AskedRow(name, own if part == name else f"{part}/{own}", ngrams)


class SharedRows:
    """Rows, and which of them a text shares an n-gram of `size` words with."""

    def __init__(self, rows: Sequence[AskedRow], size: int) -> None:
        self.rows, self.size = rows, size
        self.index = NgramIndex(*in_order([row.ngrams for row in rows]))

    def of(self, text: str) -> np.ndarray:
        """The numbers of the rows that a text shares words with."""
        hashes = PlainWords(text).hashes(self.size)
        held = self.index.found(hashes)
        if not held.size:
            return np.empty(0, np.uint32)
        return np.unique(self.index.holders(np.unique(hashes[held]))[1])
