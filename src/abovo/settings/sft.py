"""Supervised fine-tuning of a run's base model: config/sft/."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key, narrow
from abovo.settings.training import Training


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
    """Text of pretraining among the conversations, so that less of it is forgotten."""

    share: float = key("Rows that are text (fraction of all rows)", above=0, below=1)
    corpora: Mapping[str, float] | None = key(
        "Weight of each corpus; null: those of the run, in the shares that pretraining draws of them",
        default=None, above=0, min_items=1, refers="corpora",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    datasets: Mapping[str, float] = key(
        "Weight of each set of config/instruction; rows are drawn in proportion",
        above=0,
        min_items=1,
        refers="instruction",
    )
    start: str | None = key(
        "What it starts from: the last model of another run (name in config/runs), that of one of its stages"
        " (RUN.STAGE), or a folder in the Hugging Face layout (a path with a /); null: the run's own base model",
        default=None,
    )
    tokens: int = key("Fine-tuning budget, padding included (tokens)", minimum=1)
    text: Text | None = key("Text of pretraining among the conversations; null: none", default=None)
    attention: Literal["conversation", "row"] = key(
        "What an id sees: what is before it in its conversation, as if that were alone, or in its row",
        default="conversation",
    )
    method: Literal["lora", "dora", "full"] = key(
        "What trains: low-rank adapters beside frozen weights (lora, or dora, arXiv:2402.09353), or all weights (full)",
        default="lora",
    )
    lora: Lora = key("The adapters of lora and dora (LoRA, arXiv:2106.09685)", default=Lora())

    @property
    def adapters(self) -> Adapters | None:
        """The adapters that train; None where all weights do."""
        return None if self.method == "full" else narrow(Adapters, self.lora, method=self.method)


@dataclass(frozen=True, kw_only=True)
class SftFile(_Recipe):
    """Supervised fine-tuning of a run's base model, or of another model, as its file names it."""

    training: str = key("Name in config/training", refers="training")


@dataclass(frozen=True, kw_only=True)
class Sft(_Recipe):
    """Supervised fine-tuning of a run's base model, with its training recipe in place."""

    training: Training = key("How what trains is optimized, as in config/training")
