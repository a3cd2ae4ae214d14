"""Supervised fine-tuning of a run's base model: config/sft/."""

from collections.abc import Mapping
from dataclasses import dataclass

from abovo.settings.keys import key
from abovo.settings.training import Training


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters on all linear layers of the blocks (LoRA, arXiv:2106.09685)."""

    rank: int = key("Rank of the adapters (r)", minimum=1, maximum=2**14)
    alpha: float = key("Scale of the adapters (alpha / r)", above=0)
    dropout: float = key("Dropout before the adapters", default=0.05, minimum=0, below=1)


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    datasets: Mapping[str, float] = key(
        "Weight of each set of config/instruction; rows are drawn in proportion",
        above=0,
        min_items=1,
        refers="instruction",
    )
    tokens: int = key("Fine-tuning budget, padding included (tokens)", minimum=1)
    lora: Lora = key("Low-rank adapters on all linear layers of the blocks (LoRA, arXiv:2106.09685)")


@dataclass(frozen=True, kw_only=True)
class SftFile(_Recipe):
    """Supervised fine-tuning of a run's base model with low-rank adapters, as its file names it."""

    training: str = key("Name in config/training", refers="training")


@dataclass(frozen=True, kw_only=True)
class Sft(_Recipe):
    """Supervised fine-tuning of a run's base model with low-rank adapters, with its training recipe in place."""

    training: Training = key("How the adapters are optimized, as in config/training")
