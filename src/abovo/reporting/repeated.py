"""Turn the manifest of a model into words on how often its training went through each set of text."""

from collections.abc import Mapping
from typing import Any

from abovo.config.budget import REPEATED, USEFUL_EPOCHS, times_drawn


def drawn_in_words(model: Mapping[str, Any]) -> str:
    """How often all phases together went through each set, with a word on sets that were drawn more often than
    repeating still teaches."""
    phases = model["counts"]["phases"]
    times = times_drawn({name: drawn["epochs"] for name, drawn in phase["sets"].items()} for phase in phases)
    told = ", ".join(f"{name} {count:.3g} times" for name, count in times.items())
    return f"{told}; {REPEATED}" if any(count > USEFUL_EPOCHS for count in times.values()) else told
