"""Conversations as rows with a label mask: config/instruction/."""

from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key
from abovo.settings.place import Place

ChatTemplate = Literal["chatml", "alpaca"]


@dataclass(frozen=True, kw_only=True)
class Records(Place):
    """Where the records lie; not for facts."""

    type: Literal["huggingface", "local"] = key("Kind of source")
    licence: str | None = key(
        "Licence that the data set states; it travels into manifests and model cards", default=None
    )


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """Conversations as rows with a label mask. The file's name is the {dataset} in every path that it makes."""

    format: Literal["facts", "alpaca", "oasst"] = key(
        "facts: questions made from a corpus' documents; alpaca: instruction, input, output, and where there are any"
        " history and system; oasst: message trees"
    )
    corpus: str | None = key(
        "Name in config/corpora whose documents give the facts; format facts only", default=None, refers="corpora"
    )
    facts: Literal["speech", "functions"] | None = key("Kind of the facts; format facts only", default=None)
    facts_per_document: int = key("Facts drawn per document; format facts only", default=3, minimum=1, maximum=1000)
    source: Records | None = key("Where the records lie; not for facts", default=None)
    languages: tuple[str, ...] | None = key(
        "Languages whose trees are kept, by the root message's lang; format oasst only (default: all)", default=None
    )
    template: ChatTemplate = key(
        "Chat template that conversations are written in; that of the model too, which is trained on them",
        default="chatml",
    )
    validation_share: float = key(
        "Share of conversations held out, by the hash of the first request; facts follow their document instead",
        default=0.02, minimum=0, maximum=0.5,
    )  # fmt: skip
    max_conversations: int | None = key(
        "Highest number of conversations per split, drawn by hash (default: all of them)", default=None, minimum=1
    )
    sequence_length: int = key(
        "Length of a row (tokens); longer conversations keep the leading turns that fit", minimum=16, maximum=2**20
    )
