"""Conversations as rows with a label mask: config/instruction/."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key, narrow
from abovo.settings.place import Place
from abovo.settings.task import OverlapSettings
from abovo.settings.template import ChatTemplate

# The keys of a record that each format reads, by which `columns` calls them.
KEYS = {
    "alpaca": ("instruction", "input", "output", "history", "system"),
    "dolly": ("instruction", "context", "response"),
    "messages": ("messages", "system"),
    "oasst": (
        "prompt", "replies", "message_tree_id", "message_id", "parent_id", "role", "text", "lang", "rank", "deleted",
    ),
    "prompt": ("prompt", "completion", "system"),
    "sharegpt": ("conversations", "system"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Records(Place):
    """Where the records lie; not for facts."""

    type: Literal["huggingface", "local"] = key("Kind of source")
    licence: str | None = key(
        "Licence that the data set states; it travels into manifests and model cards", default=None
    )


FACTS = "facts: questions made from a corpus' documents; "
FORMATS = (
    "auto: what the first records look like; alpaca: instruction, input, output, and where there are any history and"
    " system; dolly: instruction, context, response; messages: a list of {role, content}; oasst: message trees; prompt:"
    " prompt and completion (or response, question, answer); sharegpt: a list of {from, value}"
)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the records of one source become conversations, their format aside."""

    source: Records | None = key("Where the records lie; not for facts", default=None)
    columns: Mapping[str, str] = key(
        "Key of the format: name of the column that holds it, where a table calls it otherwise", default={}
    )
    languages: tuple[str, ...] | None = key(
        "Languages whose trees are kept, by the root message's lang; format oasst only (default: all)", default=None
    )
    paths: Literal["best", "all"] = key(
        "Of each tree the path of the best ranks, or every path to an answer; format oasst only", default="best"
    )


@dataclass(frozen=True, kw_only=True)
class Conversations(Reading):
    """Records of one source, and how they become conversations."""

    format: Literal["auto", "alpaca", "dolly", "messages", "oasst", "prompt", "sharegpt"] = key(FORMATS, default="auto")


@dataclass(frozen=True, kw_only=True)
class Instruction(Reading):
    """Conversations as rows with a label mask. The file's name is the {dataset} in every path that it makes."""

    format: Literal["facts", "auto", "alpaca", "dolly", "messages", "oasst", "prompt", "sharegpt"] = key(
        FACTS + FORMATS, default="auto"
    )
    corpus: str | None = key(
        "Name in config/corpora whose documents give the facts; format facts only", default=None, refers="corpora"
    )
    facts: Literal["era", "speech", "functions"] | None = key("Kind of the facts; format facts only", default=None)
    facts_per_document: int = key("Facts drawn per document; format facts only", default=3, minimum=1, maximum=1000)
    sources: Mapping[str, Conversations] = key(
        "Several sources by name in place of one `source`, each with its own format, source, columns, languages, paths",
        default={}, names="^[a-z0-9][a-z0-9_-]*$",
    )  # fmt: skip
    template: str | ChatTemplate = key(
        "Chat template that conversations are written in, and the model, which is trained on them: name of a file of"
        " config/templates, or own, which the tokenizer came with",
        default="chatml",
    )
    validation_share: float = key(
        "Share of conversations held out, by the hash of the first request; facts follow their document instead",
        default=0.02, above=0, maximum=0.5,
    )  # fmt: skip
    max_conversations: int | None = key(
        "Highest number of conversations per split, drawn by hash (default: all of them)", default=None, minimum=1
    )
    sequence_length: int = key("Length of a row (tokens)", minimum=16, maximum=2**20)
    too_long: Literal["lead", "split", "refuse"] = key(
        "Of a conversation longer than a row: lead keeps the leading turns that fit; split makes pieces that fit, each"
        " with the system turn and from a user's turn on; refuse ends the job with its record",
        default="lead",
    )
    packing: bool = key(
        "Whether several conversations share a row; false: each has one of its own, filled with padding", default=True
    )

    evaluation: str | None = key(
        "Evaluation (name in config/evaluation) with whose tasks' rows no conversation may share 13 words in a row",
        default=None, refers="evaluation",
    )  # fmt: skip

    @property
    def by_source(self) -> Mapping[str, Conversations]:
        """The sources of records by name; none of facts."""
        return self.sources or ({} if self.source is None else {RECORDS: narrow(Conversations, self)})


# What a set's only source is called.
RECORDS = "records"


@dataclass(frozen=True, kw_only=True)
class InstructionJob(Instruction):
    """The same as its job is told it."""

    overlap: OverlapSettings | None = key("The rows of the evaluation's tasks; null: none is looked for", default=None)
