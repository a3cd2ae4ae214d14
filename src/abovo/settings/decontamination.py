"""Evaluation sets that corpora are cleaned of: config/decontamination/."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key
from abovo.settings.place import Place


@dataclass(frozen=True, kw_only=True)
class EvaluationSet(Place):
    """One evaluation set."""

    type: Literal["local", "huggingface"] = key("Where the rows come from")
    tasks: tuple[str, ...] = key("Tasks by their names in lm-eval that these rows score; may be empty")
    columns: tuple[str, ...] = key(
        "Columns whose texts, one after the other, are a row's text; PARENT.CHILD for a nested one; a list, or A|B,"
        " gives one text for each",
        min_items=1,
    )
    split: str = key("Split of the data set that is scored (type huggingface)", default="test")


@dataclass(frozen=True, kw_only=True)
class Decontamination:
    """Evaluation sets that corpora are cleaned of."""

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
    folder: str | None = key("Folder that `paths` of local sets are relative to", default=None, decides=False)
    sets: Mapping[str, EvaluationSet] = key("Evaluation sets by name", min_items=1, names="^[a-z0-9][a-z0-9_]*$")
