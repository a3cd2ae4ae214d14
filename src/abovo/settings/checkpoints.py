"""At which amounts of training a run keeps its model on the way, and what its training text may amount to."""

from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key

# What the names of models on the way begin with.
CHECKPOINT = "chck_"
UNITS = {"M": 10**6, "K": 10**3}


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """The amounts of training at which a model is kept."""

    unit: Literal["words", "tokens"] = key(
        "What amounts count: words between blanks of the training text, as the BabyLM challenge counts them, or tokens,"
        " padding included; both each time that they are seen",
        default="words",
    )
    at: tuple[int, ...] = key(
        "Amounts of training at which the model is kept, as chck_1M for a million; empty: only the last one is",
        default=(), unique=True, minimum=1,
    )  # fmt: skip
    end: int | None = key(
        "Amount that the finished model stands for among them, whatever it has seen; null: it does not",
        default=None,
        minimum=1,
    )

    @property
    def all(self) -> tuple[int, ...]:
        """All amounts, the finished model's last."""
        return (*sorted(self.at), *(() if self.end is None else (self.end,)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(checkpoint_name(amount) for amount in self.all)


@dataclass(frozen=True, kw_only=True)
class Checkpoints(Amounts):
    """Which models on the way a run keeps, and how they are measured."""

    evaluation: str | None = key(
        "What is measured on each of them (name in config/evaluation); null: nothing", default=None, refers="evaluation"
    )


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the training text of a run may amount to; a training that would go beyond does not begin."""

    words: int | None = key("Most words of all training text (words); null for any number", default=None, minimum=1)
    epochs: float | None = key(
        "Most times that a corpus is gone through (epochs); null for any number", default=None, above=0
    )


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One of the models that a run keeps on the way."""

    name: str = key("Its name, such as chck_1M", pattern=f"^{CHECKPOINT}[0-9]+[MK]?$")


def checkpoint_name(amount: int) -> str:
    """The name of the model at an amount of training: chck_1M, chck_100K, chck_1500."""
    for letter, size in UNITS.items():
        if amount % size == 0:
            return f"{CHECKPOINT}{amount // size}{letter}"
    return f"{CHECKPOINT}{amount}"
