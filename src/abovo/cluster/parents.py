"""Turn the end of a process's parent, however it comes, into a signal to the process."""

import ctypes
import os
import signal
import sys

PARENT_DEATH_SIGNAL = 1


def die_with_parent(number: int = signal.SIGKILL, parent: int | None = None) -> None:
    """Ask the kernel to send this process a signal when its parent ends; on Linux alone.

    One that ended before is known by its number, `parent`, or as far as init (1) took its place.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, number)
        if os.getppid() != parent if parent else os.getppid() == 1:
            os.kill(os.getpid(), number)
