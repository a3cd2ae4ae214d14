"""Turn the values of a record into texts, or into one line that names file, line and key; count what is left out."""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from abovo.corpus.records import Row, known
from abovo.errors import AbovoError


@dataclass
class Tally:
    """What one pass over a data set left out, by reason, and how many records held each key that its format has no use
    for."""

    left_out: Counter[str] = field(default_factory=Counter)
    unread_keys: Counter[str] = field(default_factory=Counter)

    def watched(self, rows: Iterable[Row], read: Collection[str]) -> Iterator[Row]:
        """The rows as they come; keys other than those `read` that hold something are counted."""
        for row in rows:
            self.unread_keys.update(key for key in row.values.keys() - read if not absent(row.values[key]))
            yield row

    def counts(self) -> dict[str, dict[str, int]]:
        return {"left_out": dict(sorted(self.left_out.items())), "unread_keys": dict(sorted(self.unread_keys.items()))}


def absent(value: Any) -> bool:
    """Whether a value says that there is none: null, or NaN, which tables hold in empty cells."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def text(values: Mapping[str, Any], key: str, where: str, mend: str) -> str:
    """The text under a key, without blanks around it; a number is taken as JSON spells it."""
    if key not in values:
        raise AbovoError(f"key {key!r} is missing ({known(values)})", where, mend)
    return text_of(values[key], f"key {key!r}", where, mend)


def text_of(value: Any, what: str, where: str, mend: str) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return json.dumps(value)
    held = "null" if value is None else str(value) if isinstance(value, float) else type(value).__name__
    raise AbovoError(f"{what} holds {held}, not text", where, mend)


def text_or_none(values: Mapping[str, Any], key: str, where: str, mend: str) -> str:
    """The text under a key that need not be there; "" where it is not."""
    return "" if absent(values.get(key)) else text(values, key, where, mend)
