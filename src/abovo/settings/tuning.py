"""What continued pretraining and fine-tuning have in common: a start, a budget, and what of a model trains."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from abovo.settings.keys import key, narrow


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters on linear layers of the blocks (LoRA, arXiv:2106.09685)."""

    rank: int = key("Rank of the adapters (r)", default=16, minimum=1, maximum=2**14)
    alpha: float = key("Scale of the adapters (alpha / r)", default=32, above=0)
    dropout: float = key("Dropout before the adapters", default=0.05, minimum=0, below=1)
    targets: str | tuple[str, ...] = key(
        "Which linear layers get one: all, a part of the family's blocks (attention, feed_forward), or a list of these"
        " and of names of modules (q_proj)",
        default="all", min_length=1, min_items=1,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Adapters(Lora):
    """Low-rank adapters as a job is told of them."""

    method: Literal["lora", "dora"] = key(
        "lora, or dora, which trains the length of each row of a matrix apart from its direction (arXiv:2402.09353)",
        default="lora",
    )


@dataclass(frozen=True, kw_only=True)
class Text:
    """Text of the kind that a model has already learned from, so that less of it is forgotten."""

    share: float = key("Rows that are such text (fraction of all rows)", above=0, below=1)
    corpora: Mapping[str, float] | None = key(
        "Weight of each corpus; null: those of the run, in the shares that pretraining draws of them",
        default=None, above=0, min_items=1, refers="corpora",
    )  # fmt: skip


class TuningKeys(NamedTuple):
    """The keys by which a recipe names the sets that it is for, and the text among them."""

    own: str
    beside: str


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a model that is there already is trained on."""

    keys: ClassVar[TuningKeys]

    start: str | None = key(
        "What it starts from: the last model of another run (name in config/runs), that of one of its stages"
        " (RUN.STAGE), or a folder in the Hugging Face layout (a path with a /); null: the run's own model before it",
        default=None,
    )
    tokens: int = key("Budget, padding included (tokens)", minimum=1)
    method: Literal["lora", "dora", "full"] = key(
        "What trains: low-rank adapters beside frozen weights (lora, or dora, arXiv:2402.09353), or all weights (full)",
        default="lora",
    )
    lora: Lora = key("The adapters of lora and dora (LoRA, arXiv:2106.09685)", default=Lora())
    quantization: Literal["nf4", "int8"] | None = key(
        "Form of the frozen weights beside adapters: 4 bits (nf4, arXiv:2305.14314) or 8 (int8, arXiv:2208.07339), by"
        " the package bitsandbytes; null: as they are",
        default=None,
    )

    @property
    def adapters(self) -> Adapters | None:
        """The adapters that train; None where all weights do."""
        return None if self.method == "full" else narrow(Adapters, self.lora, method=self.method)

    @property
    def own(self) -> Mapping[str, float]:
        """Weight of each set that it is for."""
        weights: Mapping[str, float] = getattr(self, self.keys.own)
        return weights

    @property
    def beside(self) -> Text | None:
        """What is drawn among them so that less is forgotten."""
        text: Text | None = getattr(self, self.keys.beside)
        return text
