"""Turn the token budget of a corpus into a share for each source."""

from collections.abc import Mapping
from typing import Any


def source_budget(corpus: Mapping[str, Any], name: str) -> int | None:
    """Tokens that a source may give: its own `tokens`, else its weight of the corpus' `tokens`; None for no limit."""
    own = corpus["sources"][name]["tokens"]
    if own is not None:
        return own
    if corpus["tokens"] is None:
        return None
    return round(corpus["tokens"] * corpus["weights"][name])
