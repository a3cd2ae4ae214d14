"""Turn the signals that ask a training to stop into a wish that it fulfils after the step under way."""

import os
import signal
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from abovo.cluster.requeue import WARNING, was_warned

# Ctrl-C, a terminal that closes, the end of a session or an allocation, what SLURM may be asked to send before that
STOPPING = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, WARNING)
TOLD = b"\nstopping: this step and a checkpoint come first; Ctrl-C once more ends at once, without them\n"


class StopRequest:
    """Within its block the first of these signals is remembered in `signal`; a second Ctrl-C ends the process at once.

    One that came too late for a step to notice counts when the block ends; but for the warning ahead of a time limit,
    since what is left to do may be done by then.
    """

    def __init__(self, *, silent: bool) -> None:
        self.signal, self.silent = WARNING if was_warned() else 0, silent
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # what is started to go on in the background ignores Ctrl-C already
        heard = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
        self.before = {number: signal.signal(number, self._remember) for number in heard}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if self.signal not in (0, WARNING) and kind is None:
            os.kill(os.getpid(), self.signal)

    def _remember(self, number: int, _frame: object) -> None:
        self.signal = number
        if number == signal.SIGINT:
            # the kernel needs no Python for it, which may be busy for minutes
            signal.signal(number, signal.SIG_DFL)
            if not self.silent:
                with suppress(OSError):  # the terminal may be gone
                    os.write(2, TOLD)
