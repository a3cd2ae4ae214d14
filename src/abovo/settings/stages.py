"""What a script is told that needs values of several kinds of config files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from abovo.settings.corpus import Corpus
from abovo.settings.evaluation import Scoring
from abovo.settings.hardware import Hardware
from abovo.settings.keys import key
from abovo.settings.run import GivenRun, Run
from abovo.settings.template import ChatTemplate


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """A run, all that it draws from, and the machines that it is reckoned for."""

    run: Run = key("The run")
    corpora: Mapping[str, Corpus] = key("The corpora that its phases draw from")
    hardware: Mapping[str, Hardware] = key("Machines by name", default={})
    overrides: Mapping[str, Any] = key("Values of this call alone, by dotted key", default={})


@dataclass(frozen=True, kw_only=True)
class GivenPlan:
    """A run that is given its base model, what that holds, and the machines that it is reckoned for."""

    run: GivenRun = key("The run")
    family: str = key("Family of the model")
    shapes: Mapping[str, tuple[int, ...]] = key("Sides of each weight by its name, from the heads of its files")
    corpora: Mapping[str, Corpus] = key("Corpora that its stages draw from", default={})
    hardware: Mapping[str, Hardware] = key("Machines by name", default={})
    overrides: Mapping[str, Any] = key("Values of this call alone, by dotted key", default={})


@dataclass(frozen=True, kw_only=True)
class GivenModel:
    """A model that was trained elsewhere, or in another run."""

    model_directory: str | None = key(
        "Folder in the Hugging Face layout; null: that of the model of another run, whose manifest is given",
        default=None,
    )
    sequence_length: int | None = key("Longest context of a prediction (tokens); null: all positions", default=None)
    trust_remote_code: bool = key("Whether the code in the folder may run", default=False)


@dataclass(frozen=True, kw_only=True)
class TaskJob(Scoring):
    """How a model is scored on one task."""

    task: str = key("Name of the task")
    kind: Literal["held_out", "conversations", "items", "lm_eval", "generations"] = key(
        "Where its questions come from: the run's corpora or instruction sets, prepared items, lm-eval itself, or the"
        " prompts of the job"
    )
    family: str | None = key(
        "Family of the model that is scored, whose code counts; null: not one of ours", default=None
    )
    template: ChatTemplate | None = key("Chat template in which questions about corpora are asked", default=None)
    prompts: tuple[str, ...] = key("Beginnings that are continued (kind generations)", default=())
    new_tokens: int | None = key(
        "Longest generation (tokens; kinds generations and conversations)", default=None, minimum=1
    )
    document_ends: bool = key("Whether ends of documents are scored (kind held_out)", default=False)
    conversations: int = key("Conversations of each set (kind conversations)", default=0, minimum=0)
    seed: int = key("Seed of whatever is drawn", default=42, minimum=0, maximum=2**32 - 1)
    threads: int = key("Processor threads of torch", default=2, minimum=1, maximum=1024)
    device: Literal["auto", "cpu"] = key(
        "auto: a GPU where there is one; cpu: the processor", default="auto", decides=False
    )


@dataclass(frozen=True, kw_only=True)
class ByHand(Scoring):
    """How a model is scored without a run."""

    context: int | None = key(
        "Longest context of a prediction (tokens); null: all positions", default=None, minimum=8, maximum=2**20
    )
    threads: int = key("Processor threads of torch", default=2, minimum=1, maximum=1024)


@dataclass(frozen=True, kw_only=True)
class ResultsSettings:
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
