"""The shape of a model: config/models/. What a shape holds beyond this is its family's own."""

from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key


@dataclass(frozen=True, kw_only=True)
class Model:
    """What every family's shapes hold. The vocabulary comes from the run's tokenizer."""

    family: str = key("Architecture (name in FAMILIES of modeling/family.py)")
    non_embedding_parameters: int | None = key(
        "Parameters outside the embedding tables that the shape claims, checked to the last one; `auto` values of a"
        " training recipe are reckoned from it",
        default=None, minimum=1,
    )  # fmt: skip
    initializer_range: float = key("Standard deviation of the initial weights", default=0.02, above=0)
    residual_init: Literal["normal", "scaled", "zero"] = key(
        "Initial weights of the matrices that write into the residual stream: like all others, divided by the root of"
        " their number (sqrt(2 L) in a decoder), or zero",
        default="normal",
    )
