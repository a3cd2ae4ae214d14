"""Supervised fine-tuning of a run's model: config/sft/."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key
from abovo.settings.training import Training
from abovo.settings.tuning import Text, Tuning, TuningKeys


@dataclass(frozen=True, kw_only=True)
class _Recipe(Tuning):
    keys = TuningKeys(own="datasets", beside="text")
    datasets: Mapping[str, float] = key(
        "Weight of each set of config/instruction; rows are drawn in proportion",
        above=0,
        min_items=1,
        refers="instruction",
    )
    text: Text | None = key("Text of pretraining among the conversations; null: none", default=None)
    attention: Literal["conversation", "row"] = key(
        "What an id sees: what is before it in its conversation, as if that were alone, or in its row",
        default="conversation",
    )


@dataclass(frozen=True, kw_only=True)
class SftFile(_Recipe):
    """Supervised fine-tuning of a run's model, or of another model, as its file names it."""

    training: str = key("Name in config/training", refers="training")


@dataclass(frozen=True, kw_only=True)
class Sft(_Recipe):
    """Supervised fine-tuning of a run's model, with its training recipe in place."""

    training: Training = key("How what trains is optimized, as in config/training")
