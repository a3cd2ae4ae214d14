"""Turn ids as they are written into text that can be shown at once: whole characters, and nothing of a stop text."""

from collections.abc import Collection, Sequence
from typing import Any

# How many ids of what came before are decoded with the first new ones: decoders drop a blank at a text's beginning.
BEFORE = 6
# What decoders give for bytes that are no whole character yet.
UNFINISHED = "\ufffd"


class Speech:
    """The text that follows the ids `before`; it ends at the first of the texts `stops`, which is not part of it, and
    special ids and those that are `hidden` have none."""

    def __init__(
        self, tokenizer: Any, before: Sequence[int], stops: Sequence[str] = (), hidden: Collection[int] = ()
    ) -> None:
        self.tokenizer, self.stops, self.hidden = tokenizer, tuple(stops), hidden
        self.ids = list(before[-BEFORE:])
        # ids from `start` on are decoded together; the text of those before `shown` is out
        self.start, self.shown = 0, len(self.ids)
        self.held, self.stopped = "", False

    def add(self, number: int) -> str:
        """What can be said for certain after one id more."""
        if number in self.hidden:
            return ""
        self.ids.append(number)
        before, now = self._text(self.shown), self._text(len(self.ids))
        if now.endswith(UNFINISHED):
            return ""
        self.start, self.shown = self.shown, len(self.ids)
        return self._release(now[len(before) :])

    def end(self) -> str:
        """The rest, when no id follows."""
        if self.stopped:
            return ""
        rest = self._release(self._text(len(self.ids))[len(self._text(self.shown)) :])
        rest, self.held = rest + ("" if self.stopped else self.held), ""
        return rest

    def _text(self, end: int) -> str:
        return self.tokenizer.decode(self.ids[self.start : end], skip_special_tokens=True)

    def _release(self, new: str) -> str:
        self.held += new
        found = [place for stop in self.stops if (place := self.held.find(stop)) >= 0]
        if found:
            self.stopped = True
            return self.held[: min(found)]
        kept = max((_begun(self.held, stop) for stop in self.stops), default=0)
        said, self.held = self.held[: len(self.held) - kept], self.held[len(self.held) - kept :]
        return said


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of a text may be the beginning of a stop."""
    return next((count for count in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:count])), 0)
