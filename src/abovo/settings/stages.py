"""What a script is told that needs values of several kinds of config files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from abovo.settings.corpus import Corpus
from abovo.settings.evaluation import Measures
from abovo.settings.hardware import Hardware
from abovo.settings.instruction import ChatTemplate
from abovo.settings.keys import key
from abovo.settings.run import Run
from abovo.settings.task import TaskRowsOf


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """A run, all that it draws from, and the machines that it is reckoned for."""

    run: Run = key("The run")
    corpora: Mapping[str, Corpus] = key("The corpora that its phases draw from")
    hardware: Mapping[str, Hardware] = key("Machines by name", default={})
    overrides: Mapping[str, Any] = key("Values of this call alone, by dotted key", default={})


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings(Measures):
    """How a model of a run is measured."""

    family: str = key("Family of the models that are measured; its code counts")
    template: ChatTemplate = key("Chat template in which questions are asked", default="chatml")
    seed: int = key("Seed of the bootstrap and of the generations", default=42, minimum=0, maximum=2**32 - 1)
    threads: int = key("Processor threads of torch", default=2, minimum=1, maximum=1024)


@dataclass(frozen=True, kw_only=True)
class OverlapSettings:
    """Which rows are looked for in a corpus."""

    tasks: Mapping[str, TaskRowsOf] = key("Rows of tasks by name")
    ngram: int = key("Consecutive normalised words that a row shares (words)", default=13, minimum=5, maximum=50)


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How intervals are made."""

    bootstrap_draws: int = key("Draws of the bootstrap behind the intervals", default=2000, minimum=100, maximum=10**6)
    seed: int = key("Seed of the bootstrap", default=42, minimum=0, maximum=2**32 - 1)


@dataclass(frozen=True, kw_only=True)
class ResultsSettings(Resampling):
    """How the results of a run are put together."""

    run: str = key("Name of the run")
    made_with: Mapping[str, Mapping[str, Any]] = key(
        "Settings that each manifest behind the results has to have, by its path", default={}, decides=False
    )


@dataclass(frozen=True, kw_only=True)
class LossFigure:
    """What a figure of losses shows besides them."""

    vocabulary_size: int | None = key(
        "Pieces of the tokenizer, by which the loss of a uniform guess is drawn; null: it is not",
        default=None,
        minimum=1,
    )
    phases: Mapping[str, int] = key("Last step of each phase by its name", default={})
    scored: str = key("What the loss is the mean over", default="token")
