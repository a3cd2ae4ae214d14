"""Turn the text of a kept document into what each filter of its corpus says to it."""

from collections.abc import Mapping
from typing import Any


def decisions(text: str, corpus: Mapping[str, Any], source: str) -> dict[str, dict[str, Any]]:
    """Per filter that the corpus asks of the source: what was measured, the bounds, and whether it passes."""
    low, high = corpus["min_characters"], corpus["max_characters"]
    passes = low <= len(text) and (high is None or len(text) <= high)
    return {"characters": {"measured": len(text), "bounds": [low, high], "passes": passes}}
