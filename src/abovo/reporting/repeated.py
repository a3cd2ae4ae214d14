"""Turn the manifest of a model into how often its training went through each set of text."""

from collections.abc import Mapping
from typing import Any

from abovo.config.budget import USEFUL_EPOCHS


def times_drawn(model: Mapping[str, Any]) -> dict[str, float]:
    """How often all phases of a training together went through each set (epochs)."""
    times: dict[str, float] = {}
    for phase in model["counts"]["phases"]:
        for name, drawn in phase["sets"].items():
            times[name] = times.get(name, 0.0) + drawn["epochs"]
    return times


def in_words(times: Mapping[str, float]) -> str:
    """The same for a person, with a word on sets that were drawn more often than repeating still teaches."""
    told = ", ".join(f"{name} {count:.3g} times" for name, count in times.items())
    if any(count > USEFUL_EPOCHS for count in times.values()):
        told += f"; beyond {USEFUL_EPOCHS} times repeated text teaches less and less (arXiv:2305.16264)"
    return told
