"""What the figures of an evaluation mean, in the words that pages and the summary share."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from abovo.evaluation.measures import MEASURES, measure_of
from abovo.evaluation.paired import HIGHER

# Name of a task -> what it asks, beside the public ones, which lm-eval defines.
TASKS = {
    "validation": "whole held-out documents as plain text, each from its start, with as much before a token as fits"
    " into the context",
    "rows": "the packed rows that the trainer validates on, which cut documents where a row ends: rows.validation_loss"
    " is the trainer's own figure, and not that of validation.*",
    "ends": "whether the model knows where a document ends, on the rows of rows.*",
    "yesno": "questions about the text, to be answered no or yes, asked as plain text",
    "choice": "questions about the text with several options, asked as plain text",
    "yesno_chat": "the same questions as yesno, asked in the chat format",
    "choice_chat": "the same questions as choice, asked in the chat format",
    "era": "whether a passage was said before 1900 or later, asked as plain text",
    "era_chat": "the same questions as era, asked in the chat format",
    "era_written": "the same questions as era, asked in the chat format; the model writes its answer",
    "conversations": "held-out conversations of each instruction set that the run is fine-tuned on",
}
WORSE_ON_PLAIN_TEXT = (
    "Worse on plain text than before: the last training was on other text than this, such as conversations in a chat"
    " format."
)


def parts_of(name: str) -> tuple[str, str]:
    """The task and the metric in TASK.METRIC, in CORPUS.TASK.METRIC of a run with several corpora, and in
    conversations.SET.METRIC."""
    rest, _, metric = name.rpartition(".")
    whole, _, last = rest.rpartition(".")
    return whole if whole in TASKS else last, metric


def meanings(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(what, meaning) of each task and metric among TASK.METRIC names, tasks first, each once."""
    parts = [parts_of(name) for name in names]
    yield from ((f"{task}.*", text) for task, text in TASKS.items() if any(task == one for one, _ in parts))
    yield from ((name, one.meaning) for name, one in MEASURES.items() if any(name == metric for _, metric in parts))


def is_of_set(name: str, names: Collection[str]) -> bool:
    """Whether TASK.SET.METRIC is one of several of which `names` has the mean, TASK.METRIC."""
    where, _, metric = name.rpartition(".")
    return f"{where.rpartition('.')[0]}.{metric}" in names


def headlines(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(name, label) of the metrics worth a line, in the order of `MEASURES`; those of validation need no task, and of
    sets their mean is enough."""
    names = dict.fromkeys(names)
    for ending, measure in MEASURES.items():
        for name in names:
            where, _, kind = name.rpartition(".")
            if kind == ending and measure.headline and not is_of_set(name, names):
                yield name, measure.label if where == "validation" else f"{measure.label} on {where}"


def is_worse_on_plain_text(changes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the last model needs clearly more bits for plain text than the one that it came from; `changes` are the
    differences by metric."""
    return any(
        measure_of(name).better == "lower" and change["verdict"] == HIGHER
        for name, change in changes.items()
        if parts_of(name)[0] != "conversations"
    )
