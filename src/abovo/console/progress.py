"""Print the state of a long job as one line that is rewritten on a terminal and repeated now and then elsewhere."""

import logging
import os
import sys
import time
from typing import TextIO

log = logging.getLogger("abovo")


class Progress:
    """A progress line; `update` may be called as often as one likes, it prints at most every `interval` seconds."""

    def __init__(self, label: str, interval: float | None = None) -> None:
        self.label = label
        self.terminal = sys.stderr.isatty()
        self.interval = interval if interval is not None else (0.5 if self.terminal else 10.0)
        self.started = time.monotonic()
        self.printed = self.started

    def due(self) -> bool:
        """Whether `update` would print now."""
        return time.monotonic() - self.printed >= self.interval

    def update(self, text: str, *, force: bool = False) -> None:
        if not force and not self.due():
            return
        self.printed = time.monotonic()
        if self.terminal:
            _show(f"\r\x1b[2K{self.label}: {text}")
        else:
            log.info("%s: %s", self.label, text)

    def clear(self) -> None:
        """Make room for another line."""
        if self.terminal:
            _show("\r\x1b[2K")

    def close(self, text: str) -> None:
        self.clear()
        log.info("%s: %s (%s)", self.label, text, duration(time.monotonic() - self.started))


def _show(text: str) -> None:
    """Write to the terminal; a terminal that is gone stops no work."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        throw_away(sys.stderr)


def throw_away(stream: TextIO) -> None:
    """Let a stream that nobody reads lead nowhere: what waits in it would fail again as the process ends (120)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def several(count: int, thing: str) -> str:
    """A number of things as a person reads it: 1 shard, 2,000 shards."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 8.1 s, 3 min 20 s, 5 h 02 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
