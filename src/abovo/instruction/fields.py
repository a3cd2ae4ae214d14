"""Turn the values of a record into texts, or into one line that names file, line and key; count what is left out."""

import json
import logging
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from abovo.corpus.records import Row, known
from abovo.errors import AbovoError

log = logging.getLogger("abovo")
Messages = list[dict[str, str]]
# How many records at the beginning of a source say whether a format is theirs.
LOOK = 20
# Why turns and conversations are left out, whatever their format.
BEFORE = "message before the first request"
AFTER = "message after the last answer"
NO_ANSWER = "no assistant turn"
EMPTY = "empty message"
TOOLS = "uses tools, which no template writes"
UNKNOWN_ROLE = "unknown role"
NOT_TEXT = "content that is no text"


class Found(NamedTuple):
    """A conversation as found, and where its record stands."""

    where: str
    messages: Messages

    @property
    def requests(self) -> list[str]:
        """What the user says, by which it goes into a split."""
        return [one["content"] for one in self.messages if one["role"] == "user"]


@dataclass
class Tally:
    """What of a source is left out, by reason, and how many records held each key that its format has no use for."""

    left_out: Counter[str] = field(default_factory=Counter)
    unread_keys: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    """Reason -> the first record that it was left out for; for the screen alone."""
    records: int = 0

    def watched(self, rows: Iterable[Row], read: Collection[str]) -> Iterator[Row]:
        """The rows as they come; keys other than those `read` that hold something are counted."""
        for row in rows:
            self.unread_keys.update(key for key in row.values.keys() - read if not absent(row.values[key]))
            yield row

    def needs(self, values: Mapping[str, Any], keys: Sequence[str], where: str, mend: str) -> None:
        """Raises AbovoError where one of the first records has none of the keys: its format is another one."""
        if self.records <= LOOK and not any(key in values for key in keys):
            raise AbovoError(f"key {keys[0]!r} is missing ({known(values)})", where, mend)

    def text(self, values: Mapping[str, Any], key: str, where: str, mend: str) -> str:
        """The text under a key that a format needs.

        It is "" where there is none, null or NaN, and a conversation with an empty message is left out. A key that one
        of the first records lacks, or a value of another type, raises AbovoError.
        """
        self.needs(values, (key,), where, mend)
        return text_or_none(values, key, where, mend)

    def leave_out(self, reason: str, where: str, detail: str = "") -> None:
        self.left_out[reason] += 1
        self.examples.setdefault(reason, f"{detail} in {where}" if detail else where)

    def counts(self) -> dict[str, Any]:
        found = {"left_out": self.left_out, "unread_keys": self.unread_keys}
        return {"records": self.records, **{name: dict(sorted((+count).items())) for name, count in found.items()}}


def between(found: Found, tally: Tally) -> Found | None:
    """A conversation from its first request to its last answer, system messages kept; what is dropped is counted.

    Nothing is left of one in which nobody answers a request, which is counted as such.
    """
    messages = found.messages
    begin = next((number for number, one in enumerate(messages) if one["role"] == "user"), len(messages))
    end = max((number for number, one in enumerate(messages) if one["role"] == "assistant"), default=-1)
    if end < begin:
        tally.leave_out(NO_ANSWER, found.where)
        return None
    before = [one for one in messages[:begin] if one["role"] == "system"]
    tally.left_out += Counter({BEFORE: begin - len(before), AFTER: len(messages) - 1 - end})
    return found._replace(messages=before + messages[begin : end + 1])


def absent(value: Any) -> bool:
    """Whether a value says that there is none: null, or NaN, which tables hold in empty cells."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def empty(value: Any) -> bool:
    """Whether a value holds no text: it is absent or blank."""
    return absent(value) or (isinstance(value, str) and not value.strip())


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


def first_of(values: Mapping[str, Any], keys: Iterable[str]) -> str | None:
    """The first of the keys that a record holds something under, or else the first that it has."""
    had = [key for key in keys if key in values]
    return next((key for key in had if not empty(values[key])), had[0] if had else None)


def opening(system: str) -> Messages:
    """The message that stands before all others, where there is one."""
    return [{"role": "system", "content": system}] if system else []


def turn(request: str, answer: str) -> Messages:
    return [{"role": "user", "content": request}, {"role": "assistant", "content": answer}]
