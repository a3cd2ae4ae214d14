"""Turn the steps of a training into what a person watches: a progress line, timings and TensorBoard files.

Nothing in here changes what is trained, and no clock enters a file that is hashed.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from abovo.console.progress import Progress, duration


class Stopwatch:
    """Speed and remaining time, for people; nothing that is hashed comes from here."""

    def __init__(self, label: str, first: int, steps: int, tokens_per_step: int, *, silent: bool) -> None:
        self.first, self.steps, self.tokens_per_step = first, steps, tokens_per_step
        self.started, self.silent = time.monotonic(), silent
        self.progress = Progress(label)
        self.speed = 0.0

    def update(self, step: int, loss: float, learning_rate: float) -> None:
        elapsed = time.monotonic() - self.started
        self.speed = (step - self.first) * self.tokens_per_step / max(elapsed, 1e-9)
        if self.silent:
            return
        left = (self.steps - step) * self.tokens_per_step / self.speed
        self.progress.update(
            f"step {step}/{self.steps}, {step * self.tokens_per_step:,} tokens, loss {loss:.3f}, "
            f"lr {learning_rate:.2e}, {self.speed:,.0f} tokens/s, {duration(left)} left"
        )

    def row(self, step: int) -> dict[str, float]:
        return {
            "step": step,
            "seconds": round(time.monotonic() - self.started, 3),
            "tokens_per_second": round(self.speed, 1),
        }

    def close(self) -> None:
        if not self.silent:
            self.progress.close(f"{self.steps} steps, {self.speed:,.0f} tokens/s")


class Board:
    """TensorBoard files, where they are wanted; a resumed run purges the rows after its checkpoint."""

    def __init__(self, folder: Path | None, first: int) -> None:
        self.writer = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            self.writer = SummaryWriter(str(folder), purge_step=first + 1 if first else None)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
