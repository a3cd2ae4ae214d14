"""Turn a launcher into the command that it launches, or into a line that says why not; and a parent's end into one's
own."""

import ctypes
import fcntl
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from abovo.errors import AbovoError

PARENT_DEATH_SIGNAL = 1


def become(command: Sequence[str]) -> NoReturn:
    """Go on as another program. Raises AbovoError where it cannot be started."""
    try:
        os.execvp(command[0] or " ", list(command))
    except OSError as error:
        raise not_started(command[0], error) from None


def not_started(program: str, error: OSError) -> AbovoError:
    told = str(error.strerror).lower()
    return AbovoError(f"cannot be started ({told})", program, "install it, or say where it is in PATH")


def end(error: AbovoError, command: Sequence[str]) -> NoReturn:
    """End with the line of an error, which goes into the log that the command would have written, too; the log of
    another one at work is left alone."""
    line = f"error: {error}"
    if file := word_after("--log", command):
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
                log.write(f"{line}\n")
            except OSError:
                pass
    sys.exit(line)


def word_after(option: str, command: Sequence[str]) -> str | None:
    """What a command line says of an option."""
    words = list(command)
    return words[words.index(option) + 1] if option in words[:-1] else None


def die_with_parent(number: int = signal.SIGKILL, parent: int | None = None) -> None:
    """Ask the kernel to send this process a signal when its parent ends; on Linux alone.

    One that ended before is known by its number, `parent`, or as far as init (1) took its place.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, number)
        if os.getppid() != parent if parent else os.getppid() == 1:
            os.kill(os.getpid(), number)
