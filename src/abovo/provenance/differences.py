"""Turn two descriptions of a job into words for what differs between them, so that a rerun can say why it happens."""

from collections.abc import Mapping
from typing import Any

MISSING = "nothing"
# Longest value that is spelt out (characters); of a longer one its end is left away.
LONGEST = 60


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(dotted key, value in `old`, value in `new`) of all values that differ, in the order of the keys."""
    before, now = _flat(old), _flat(new)
    keys = sorted(before.keys() | now.keys())
    return [(key, _short(before, key), _short(now, key)) for key in keys if before.get(key) != now.get(key)]


def _short(values: Mapping[str, Any], key: str) -> str:
    text = repr(values[key]) if key in values else MISSING
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}.{key}".strip(".")).items()}
    return {prefix: value}
