"""What is made of a run's last model for use elsewhere: key `export` of config/runs/."""

from dataclasses import dataclass
from typing import Literal, get_args

from abovo.settings.keys import key

GgufForm = Literal["f32", "f16", "q8_0", "q4_k_m"]
GGUF_FORMS: tuple[GgufForm, ...] = get_args(GgufForm)
INTENDED = "Experiments with small language models. Nothing was done to make what it writes true, safe or polite."


@dataclass(frozen=True, kw_only=True)
class Export:
    """What results/export/{run}/ holds, what its card says, and where it may be pushed to."""

    precision: Literal["float32", "bfloat16"] | None = key(
        "Numbers of the weights in hf/; null: as the model is kept", default=None
    )
    gguf: tuple[GgufForm, ...] | None = key(
        "Forms of GGUF files; each is kept once a real llama.cpp was seen to read it alike; null: all, of a family that"
        " llama.cpp has",
        default=None,
    )
    results: bool = key("Whether the card has the results, for which the model is evaluated", default=True)
    licence: str = key(
        "Licence of the model, by the hub's identifier (mit, apache-2.0, cc-by-4.0, ...)",
        default="unknown", pattern="^[a-z0-9.-]+$",
    )  # fmt: skip
    languages: tuple[str, ...] = key("Languages of the model (ISO 639)", default=("en",), min_items=1)
    intended_use: str = key("What the model is for and what not (sentences)", default=INTENDED)
    repository: str | None = key(
        "Model on the hub that the export is pushed to (OWNER/NAME), with the token in HF_TOKEN; null: nowhere",
        default=None, pattern="^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", decides=False,
    )  # fmt: skip
    private: bool = key("Whether a repository that the push makes is private", default=True, decides=False)


@dataclass(frozen=True, kw_only=True)
class ExportJob(Export):
    """An export, and what it is called."""

    gguf: tuple[GgufForm, ...] = key("Forms of GGUF files", default=GGUF_FORMS)
    run: str = key("Name of the run")
    stage: str = key("Stage whose model it is")
    description: str = key("What the run is for (one sentence)", default="")


@dataclass(frozen=True, kw_only=True)
class PushJob:
    """Where an export goes."""

    repository: str = key("Model on the hub (OWNER/NAME)")
    private: bool = key("Whether a repository that the push makes is private", default=True, decides=False)
