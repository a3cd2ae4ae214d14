"""Evaluation sets that corpora are cleaned of: config/decontamination/."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key
from abovo.settings.place import Place
from abovo.settings.task import TaskRowsOf


@dataclass(frozen=True, kw_only=True)
class EvaluationSet(Place):
    """One evaluation set."""

    type: Literal["local", "huggingface"] = key("Where the rows come from")
    tasks: tuple[str, ...] = key("Tasks that these rows score, by the names that evaluations give; may be empty")
    columns: tuple[str, ...] = key(
        "Columns whose texts, one after the other, are a row's text; PARENT.CHILD for a nested one; a list, or A|B,"
        " gives one text for each",
        min_items=1,
    )
    split: str = key("Split of the data set that is scored (type huggingface)", default="test")


@dataclass(frozen=True, kw_only=True)
class Passages:
    """How much of a row makes a passage that corpora must not hold, and rows that no task has."""

    description: str = key("Which evaluations these sets stand for (one sentence)", default="", decides=False)
    ngram: int = key(
        "Consecutive normalised words that a document must not share with a row (words)",
        default=13, minimum=5, maximum=50,
    )  # fmt: skip
    least_ngrams: int = key(
        "n-grams of one row from which on a document counts as holding it; 8 of 13 words are 20 words in a row. 1 takes"
        " every stock phrase for a passage",
        default=8, minimum=1,
    )  # fmt: skip
    least_share: float = key(
        "Share of a short row's n-grams that is enough where it is less than least_ngrams (fraction)",
        default=0.1, minimum=0, maximum=1,
    )  # fmt: skip
    folder: str | None = key(
        "Folder that files of local sets and tasks are relative to (default: for tasks their own)",
        default=None, decides=False,
    )  # fmt: skip
    sets: Mapping[str, EvaluationSet] = key(
        "Evaluation sets by name, for what no task of config/evaluation/tasks scores",
        default={}, names="^[a-z0-9][a-z0-9_]*$",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DecontaminationFile(Passages):
    """Evaluation sets that corpora are cleaned of."""

    tasks: tuple[str, ...] = key(
        "Names in config/evaluation/tasks whose rows are sets: those of their source, by their columns `decontaminate`",
        default=(), unique=True, refers="evaluation/tasks",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Decontamination(Passages):
    """Evaluation sets that corpora are cleaned of, the rows of tasks in place of their names."""

    tasks: Mapping[str, TaskRowsOf] = key("Rows of tasks by name", default={})

    @property
    def covered(self) -> frozenset[str]:
        """The names of all tasks whose rows are among the sets."""
        return frozenset((*self.tasks, *(task for one in self.sets.values() for task in one.tasks)))
