"""Tasks that models are scored on: config/evaluation/tasks/."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key
from abovo.settings.place import Place

Kind = Literal["rolling", "choice", "yes_no", "minimal_pair", "last_word", "generation"]


@dataclass(frozen=True, kw_only=True)
class TaskSource(Place):
    """Where the rows of a task come from."""

    type: Literal["huggingface", "local"] = key("Where the rows come from")
    split: str = key("Split of the data set that is scored (type huggingface)", default="test")
    labels: str | None = key(
        "A second file, one answer per line, which becomes the column `label` of the row of the same number (type"
        " local)",
        default=None,
    )
    rows: Literal["as_they_are", "pages", "both_ways"] = key(
        "as_they_are; pages: a file of WikiText's lines becomes rows with one article each (column page); both_ways: a"
        " row is followed by itself with Context1 and Context2, Target1 and Target2 exchanged",
        default="as_they_are",
    )


@dataclass(frozen=True, kw_only=True)
class RowKeys:
    """Which rows a task is made of."""

    source: TaskSource = key("Where the rows come from")
    sets: tuple[str, ...] = key(
        "Names of several sets of rows, each at the source with its name in place of {set}; the score is their mean",
        default=(), unique=True, pattern="^[A-Za-z0-9_-]+$",
    )  # fmt: skip
    set_column: str | None = key("Column that names the set of a row; the score is the mean of sets", default=None)
    id: str | None = key("Column of a row's name (default: its number in its set, from 0)", default=None)
    decontaminate: tuple[str, ...] = key(
        "Columns whose texts, one after the other, corpora must not hold; PARENT.CHILD for a nested one; a list, or"
        " A|B, gives one text for each (default: each column of texts by itself)",
        default=(),
    )


@dataclass(frozen=True, kw_only=True)
class TaskRowsOf(RowKeys):
    """The rows of a task without what is made of them."""

    name: str = key("Name of the task")


@dataclass(frozen=True, kw_only=True)
class TaskKeys(RowKeys):
    """What is scored, and how its texts are made of a row.

    A template is a text with {{ }} around Jinja expressions over the columns of a row, an expression is what stands
    between; a word alone is the column of that name in both.
    """

    description: str = key(
        "What the task asks, and where its texts differ from lm-eval's task of that name (one sentence)",
        default="", decides=False,
    )  # fmt: skip
    kind: Kind = key(
        "rolling: whole texts; choice: one of several options; yes_no: one of two; minimal_pair: the first of two"
        " sentences should be the likelier one; last_word: the end of a text; generation: what is written on"
    )
    text: str = key("Template of the text, for rolling and last_word", default="{{text}}")
    size_of: str | None = key(
        "Template of the text whose bytes and words a rolling task divides by (default: the text itself)", default=None
    )
    prompt: str | tuple[str, ...] = key(
        "Template of what stands before an option, or a column; a list has one for each option", default=""
    )
    options: str | tuple[str, ...] = key(
        "A list of columns or templates, or an expression of a list, such as ['no', 'yes'] for words that are the same"
        " in all rows; the good sentence of a pair comes first",
        default=(),
    )
    answer: str | int = key(
        "Expression of the right option: its number from 0, its letter (A, B ...), its text, or true and false for the"
        " last and the first of two; for generation, which needs one, of the expected text",
        default=0, minimum=0, maximum=1000,
    )  # fmt: skip
    separator: str = key("What stands between prompt and option", default=" ")
    shots: int = key(
        "Examples with their answers before each prompt, the same for all rows, drawn by seed",
        default=0, minimum=0, maximum=1000,
    )  # fmt: skip
    shots_from: str | None = key(
        "Split that examples are drawn from (type huggingface; default: the other rows of the set)", default=None
    )
    shots_seed: int = key("Seed of the drawing of examples", default=1234, minimum=0, maximum=2**32 - 1)
    document: tuple[str, ...] = key(
        "Columns or templates whose values together name the document that a row is of; rows of one document are"
        " resampled together. Where all are empty the row stands alone (default: every row)",
        default=(),
    )
    metric: (
        Literal[
            "accuracy",
            "accuracy_per_character",
            "accuracy_per_byte",
            "exact_match",
            "bits_per_byte",
            "word_perplexity",
            "byte_perplexity",
            "token_perplexity",
        ]
        | None
    ) = key("Metric that stands for the task in means and figures (default: the first one of its kind)", default=None)
    new_tokens: int = key("Longest generation (tokens); kind generation", default=64, minimum=1, maximum=2**16)
    too_long: Literal["cut", "refuse"] = key(
        "cut: rows beyond the context lose their beginning, are counted and listed; refuse: they end the scoring",
        default="cut",
    )
    equal_options: Literal["refuse", "keep"] = key(
        "What to do with a row two of whose options are equal: an error, or scored as it is, the first one winning",
        default="refuse",
    )


@dataclass(frozen=True, kw_only=True)
class TaskFile(TaskKeys):
    """One task. The file's name is the task's."""

    like: str | None = key(
        "Name of a task whose keys hold where this file has none of that name", default=None, refers="evaluation/tasks"
    )
    folder: str | None = key("Folder that the files of a local source are relative to", default=None)


@dataclass(frozen=True, kw_only=True)
class Task(TaskKeys, TaskRowsOf):
    """A task with its name, its files found."""


@dataclass(frozen=True, kw_only=True)
class OverlapSettings:
    """Which rows are looked for in a corpus, or in conversations."""

    tasks: Mapping[str, TaskRowsOf] = key("Rows of tasks by name")
    ngram: int = key("Consecutive normalised words that a row shares (words)", default=13, minimum=5, maximum=50)
