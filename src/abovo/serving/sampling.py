"""Turn what a person or a program wishes of an answer into how it is drawn and where it ends."""

import logging
from dataclasses import dataclass, fields, replace
from typing import Any

from abovo.errors import AbovoError
from abovo.settings.keys import build, key

log = logging.getLogger("abovo")
# Drawn with where neither a wish nor the model's generation_config says anything.
TEMPERATURE = 0.7


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How an answer is drawn; what is None is as the model's own settings have it."""

    temperature: float | None = key(
        "What logits are divided by; 0 takes the likeliest token at each place", default=None, minimum=0, maximum=2
    )
    top_p: float | None = key("Share of the probability that is drawn from", default=None, above=0, maximum=1)
    top_k: int | None = key("Number of likeliest tokens that are drawn from; 0: all", default=None, minimum=0)
    repetition_penalty: float | None = key(
        "What logits of tokens that stand there already are divided by; 1: none", default=None, above=0, maximum=10
    )
    seed: int | None = key("Root of the random numbers; null: another one each time", default=None, minimum=0)
    max_tokens: int | None = key(
        "Longest answer (tokens); null: as long as the context has room", default=None, minimum=1
    )

    def over(self, other: "Sampling") -> "Sampling":
        """These wishes, and those of `other` where there is none."""
        return replace(other, **self.wishes())

    def wishes(self) -> dict[str, Any]:
        """What is wished, by name."""
        return {one.name: value for one in fields(Sampling) if (value := getattr(self, one.name)) is not None}


def sampling_of(generation_config: Any) -> Sampling:
    """What a model's generation_config says of drawing, where it draws at all; a value that is none is told of."""
    plain: dict[str, Any] = {"temperature": TEMPERATURE, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0}
    if not getattr(generation_config, "do_sample", None):
        return Sampling(**plain)
    said = {name: value for name in plain if (value := getattr(generation_config, name, None)) is not None}
    for name, value in said.items():
        try:
            plain |= build(Sampling, {name: value}, "generation_config.json").wishes()
        except AbovoError as error:
            log.warning("%s; %s %g is taken", error, name, plain[name])
    return Sampling(**plain)
