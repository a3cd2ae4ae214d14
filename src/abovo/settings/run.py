"""One recipe: config/runs/. The file's name is the {run} in every path that it makes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from abovo.settings.checkpoints import Checkpoints, Limits
from abovo.settings.cpt import Cpt
from abovo.settings.engine import Engine
from abovo.settings.evaluation import Evaluation
from abovo.settings.export import Export
from abovo.settings.keys import key
from abovo.settings.sft import Sft
from abovo.settings.training import Schedule, Training


@dataclass(frozen=True, kw_only=True)
class SharedParts:
    """The names of the files that any run is put together from."""

    tokenizer: str = key("Name in config/tokenizers", refers="tokenizers")
    engine: str = key("Name in config/engines", default="torch", refers="engines")
    cpt: str | None = key(
        "Name in config/cpt; null: pretraining is not continued on other text", default=None, refers="cpt"
    )
    sft: str | None = key("Name in config/sft; null for a base model only", default=None, refers="sft")
    evaluation: str = key("Name in config/evaluation", refers="evaluation")


@dataclass(frozen=True, kw_only=True)
class Parts(SharedParts):
    """The names of the files that a run is put together from."""

    model: str = key("Name in config/models", refers="models")
    training: str = key("Name in config/training", refers="training")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a run says itself, whatever its parts are."""

    description: str = key("What the run is for (one sentence)", default="", decides=False)
    tokens: int = key("Training budget (tokens)", minimum=1)
    sequence_length: int = key("Length of a row (tokens)", minimum=8, maximum=2**20)
    start: str | None = key(
        "What pretraining starts from: a run whose finished model goes on (name in config/runs), or a folder in the"
        " Hugging Face layout (a path with a /); null for fresh weights",
        default=None,
    )
    seed: int = key("Root of every random stream of the run", default=42, minimum=0, maximum=2**32 - 1)
    threads: int = key(
        "Processor threads of torch; part of what CPU results depend on", default=2, minimum=1, maximum=1024
    )
    parameters: int | None = key("Parameter count that the run claims; checked to 1 %", default=None, minimum=1)
    checkpoints: Checkpoints = key(
        "Models of pretraining that are kept on the way, and how they are measured", default=Checkpoints()
    )
    limits: Limits = key("What the training text may amount to", default=Limits(), decides=False)
    export: Export = key("What is made of the last model for use elsewhere", default=Export())


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    name: str = key("Name of the phase", pattern="^[a-z0-9-]+$")
    corpora: Mapping[str, float] = key(
        "Weight of each corpus in the phase (fractions of its tokens)", above=0, min_items=1, refers="corpora"
    )
    share: float = key("Share of the run's tokens (fraction)", above=0, maximum=1)


@dataclass(frozen=True, kw_only=True)
class PhaseFile(_Stretch):
    """A phase as the run's file has it: what its schedule leaves out depends on its place."""

    schedule: Mapping[str, Any] | None = key(
        "Learning rate over this phase alone, with the keys of a training recipe's schedule (after the first phase"
        " warmup_steps is 0 by default); null: the recipe's, over the whole run",
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class Phase(_Stretch):
    """A stretch of pretraining with a mix of its own."""

    schedule: Schedule | None = key(
        "Learning rate over this phase alone; null: the recipe's, over the whole run", default=None
    )


@dataclass(frozen=True, kw_only=True)
class RunFile(Parts, Recipe):
    """One recipe. The file's name is the {run} in every path that it makes."""

    corpus: str | None = key("Name in config/corpora; shorthand for a single phase", default=None, refers="corpora")
    phases: tuple[PhaseFile, ...] | None = key(
        "Phases of pretraining in their order, in place of `corpus`", default=None, min_items=1
    )
    set: Mapping[str, Any] = key("Values that differ from the named files, as PART.KEY: value", default={})


@dataclass(frozen=True, kw_only=True)
class GivenFile:
    """A model that was trained elsewhere, scored as those of runs are and, with a `cpt` or an `sft`, trained on."""

    description: str = key("Which model it is (one sentence)", default="", decides=False)
    model_directory: str = key("Folder in the Hugging Face layout: config.json, safetensors, tokenizer", min_length=1)
    hub: str | None = key(
        "Id of the model on the hub, OWNER/NAME, from where `make model` fetches the folder (null: it is there)",
        default=None, pattern="^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", decides=False,
    )  # fmt: skip
    revision: str | None = key("Branch, tag or commit on the hub (null: main)", default=None, decides=False)
    trust_remote_code: bool = key(
        "Whether the code in the folder may run, of a model whose classes transformers has not; read it first",
        default=False,
    )
    tokenizer: str | None = key(
        "Name in config/tokenizers; null: the model's own, which is called as the run is", default=None,
        refers="tokenizers",
    )  # fmt: skip
    engine: str = key("Name in config/engines", default="torch", refers="engines")
    cpt: str | None = key(
        "Name in config/cpt; null: pretraining is not continued on other text", default=None, refers="cpt"
    )
    sft: str | None = key("Name in config/sft; null: it is not fine-tuned", default=None, refers="sft")
    evaluation: str = key("Name in config/evaluation", refers="evaluation")
    sequence_length: int | None = key(
        "Length of the rows that it is trained on, and longest context of a prediction (tokens); null: all positions"
        " that the model has, where it is scored alone",
        default=None, minimum=8, maximum=2**20,
    )  # fmt: skip
    seed: int = key("Root of every random stream", default=42, minimum=0, maximum=2**32 - 1)
    threads: int = key("Processor threads of torch", default=2, minimum=1, maximum=1024)
    export: Export = key("What is made of it for use elsewhere", default=Export())
    set: Mapping[str, Any] = key("Values that differ from the named files, as PART.KEY: value", default={})

    @property
    def alone(self) -> bool:
        """Whether it is scored, and nothing trains it."""
        return self.cpt is None and self.sft is None


@dataclass(frozen=True, kw_only=True)
class AnyRun:
    """What all runs have whose models are trained here, from fresh weights or from those of a model from elsewhere."""

    name: str = key("Name of its file")
    parts: SharedParts = key("The names of the files that it is put together from")
    tokenizer: Any = key("The tokenizer, as its file knows it")
    engine: Engine = key("What carries out the steps")
    cpt: Cpt | None = key("How pretraining is continued on other text; null: not at all", default=None)
    sft: Sft | None = key("How the model is fine-tuned; null: not at all", default=None)
    evaluation: Evaluation = key("What is measured")
    phases: tuple[Phase, ...] = key("Phases of pretraining in their order", default=())
    sequence_length: int = key("Length of a row (tokens)", minimum=8, maximum=2**20)
    seed: int = key("Root of every random stream of the run", default=42, minimum=0, maximum=2**32 - 1)
    threads: int = key("Processor threads of torch", default=2, minimum=1, maximum=1024)

    @property
    def tunings(self) -> dict[str, Cpt | Sft]:
        """How it trains on after its pretraining, by stage and in their order."""
        return {stage: one for stage, one in (("cpt", self.cpt), ("sft", self.sft)) if one is not None}

    @property
    def corpora(self) -> list[str]:
        """The names of the corpora that the phases draw from, each once, in order of first use."""
        return corpora_of(self.phases)


@dataclass(frozen=True, kw_only=True)
class GivenRun(AnyRun):
    """A run whose base model was trained elsewhere."""

    model_directory: str = key("Folder in the Hugging Face layout")


@dataclass(frozen=True, kw_only=True)
class Run(Recipe, AnyRun):
    """One recipe with its parts in place of their names, and phases in place of the shorthand `corpus`."""

    parts: Parts = key("The names of the files that it is put together from")
    model: Any = key("Shape of the model, as its family knows it")
    training: Training = key("How the model is optimized, with numbers in place of `auto`")
    phases: tuple[Phase, ...] = key("Phases of pretraining in their order", min_items=1)


@dataclass(frozen=True, kw_only=True)
class ScoredRun:
    """What scoring needs to know of a run, or of a model that was trained elsewhere."""

    name: str = key("Name of its file")
    evaluation: Evaluation = key("What is measured")
    evaluation_name: str = key("Name of what is measured, in config/evaluation")
    seed: int = key("Root of every random stream")
    threads: int = key("Processor threads of torch")


def corpora_of(phases: Iterable[Phase]) -> list[str]:
    """The names of the corpora that phases draw from, each once, in order of first use."""
    return list(dict.fromkeys(corpus for phase in phases for corpus in phase.corpora))
