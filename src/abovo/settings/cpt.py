"""Continued pretraining of a model on other text, another language's say: config/cpt/."""

from collections.abc import Mapping
from dataclasses import dataclass

from abovo.settings.inspection import Inspection
from abovo.settings.keys import key
from abovo.settings.training import Training
from abovo.settings.tuning import Text, Tuning, TuningKeys


@dataclass(frozen=True, kw_only=True)
class _Recipe(Tuning):
    keys = TuningKeys(own="corpora", beside="replay")
    corpora: Mapping[str, float] = key(
        "Weight of each corpus of config/corpora; rows are drawn in proportion", above=0, min_items=1, refers="corpora"
    )
    overlap: int = key(
        "Ids at a row's beginning that the row before it ends with, as context; they are learned there alone (tokens)",
        default=0, minimum=0, maximum=2**20,
    )  # fmt: skip
    replay: Text | None = key("Text of the kind that the model was trained on before; null: none", default=None)
    inspection: Inspection = key("What is told of the text before it is trained on, and refused", default=Inspection())


@dataclass(frozen=True, kw_only=True)
class CptFile(_Recipe):
    """Continued pretraining of a run's model, or of another model, as its file names it."""

    training: str = key("Name in config/training", refers="training")


@dataclass(frozen=True, kw_only=True)
class Cpt(_Recipe):
    """Continued pretraining of a run's model, with its training recipe in place."""

    training: Training = key("How what trains is optimized, as in config/training")
