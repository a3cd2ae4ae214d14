"""What is measured on a base model and, after fine-tuning, on the same sets again: config/evaluation/."""

from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key
from abovo.settings.template import ChatTemplate


@dataclass(frozen=True, kw_only=True)
class EvaluationSets:
    """The questions and texts that a model is measured on."""

    validation_bytes: int = key(
        "Whole validation documents that bits per byte is measured on (bytes of text)",
        default=320000,
        minimum=1,
        maximum=10**10,
    )
    facts: tuple[Literal["era", "speech", "functions"], ...] = key(
        "Kinds of facts that are asked about: era (a question that offers its answers), speech and functions (yes/no"
        " and choice questions); empty for corpora without package texts",
        default=(), unique=True,
    )  # fmt: skip
    facts_per_document: int = key("Questions drawn per validation document", default=2, minimum=1, maximum=1000)
    offered_rows: int = key(
        "Questions that offer their answers, equally many of each answer; kind era",
        default=400,
        minimum=2,
        maximum=10**6,
    )
    yesno_rows: int = key("Yes/no questions, half of them with the answer yes", default=300, minimum=2, maximum=10**6)
    choice_rows: int = key("Questions with four options", default=150, minimum=1, maximum=10**6)


@dataclass(frozen=True, kw_only=True)
class SetsJob(EvaluationSets):
    """The same as its job is told it."""

    template: ChatTemplate | None = key(
        "Chat template in which the task files beside the sets ask; null: ChatML as it is shipped", default=None
    )


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How log-likelihoods are computed."""

    batch_size: int = key("Rows that are scored at once", default=16, minimum=1, maximum=2**16)
    precision: Literal["float32", "bfloat16"] = key(
        "Number format of the weights while a model is scored", default="float32"
    )
    stride: int | None = key(
        "Targets by which windows over a document move on, each target counted once (tokens); null: by the whole"
        " context, as lm-eval does",
        default=None, minimum=1,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Measures(Scoring):
    """How a model is measured."""

    tasks: tuple[str, ...] = key(
        "Tasks by their names in config/evaluation/tasks, or in lm-eval where they have no file there",
        default=(), unique=True, pattern="^[A-Za-z0-9_][A-Za-z0-9_-]*$",
    )  # fmt: skip
    prompts: tuple[str, ...] = key(
        "Beginnings that the base model continues and the fine-tuned one answers, greedily", min_items=1, min_length=1
    )
    new_tokens: int = key("Longest generation (tokens)", default=48, minimum=1, maximum=2**16)
    document_ends: bool = key(
        "Whether the probability of EOS at ends of held-out documents, and elsewhere, is measured", default=False
    )
    conversations: int = key(
        "Held-out conversations of each instruction set of a run that its models are scored on, drawn by hash; 0: none",
        default=200, minimum=0, maximum=10**6,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Evaluation(EvaluationSets, Measures):
    """What is measured on a base model and, after fine-tuning, on the same sets again."""

    contamination: bool = key(
        "Whether the rows of tasks that share 13 words in a row with a corpus of the run are looked for, so that scores"
        " without them stand beside; each corpus is read once for it (about 25 MB of text per second)",
        default=True,
    )
