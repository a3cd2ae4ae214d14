"""Turn the steps of a training into what a person watches: a progress line and rows of timings.

Nothing in here changes what is trained, and no clock enters a file that is hashed.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from abovo.config.load import load, names
from abovo.console.progress import Progress, duration, several
from abovo.provenance.environment import peak_memory_bytes
from abovo.settings.hardware import Hardware
from abovo.settings.names import SHIPPED
from abovo.training.device import Precision
from abovo.training.world import World

log = logging.getLogger("abovo")

# Machines that a project knows, then those that come with the workflow.
CONFIG = (Path("config"), SHIPPED)


class Stopwatch:
    """Where the time goes, speed, memory and what is left, for people.

    On a GPU the clock is read where the loop waits for a result anyway: the work of an optimizer step that is still
    under way when the clock is read counts for whatever comes next.
    """

    def __init__(
        self,
        label: str,
        first: int,
        steps: int,
        tokens_per_step: int,
        device: torch.device,
        flops_per_second_at_peak: float | None = None,
        flops_per_token: float | None = None,
        *,
        silent: bool,
    ) -> None:
        self.first, self.steps, self.tokens_per_step = first, steps, tokens_per_step
        self.device, self.silent = device, silent
        self.peak, self.flops_per_token = flops_per_second_at_peak, flops_per_token
        self.progress = Progress(label)
        self.started = time.monotonic()
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.speed = 0.0
        self.last = (first, 0.0)
        self.utilization: float | None = None

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of a block for `name`: compute, data, checkpoint, validation or samples."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.spent[name] += time.monotonic() - begun

    def update(self, step: int, loss: float, learning_rate: float, norm: float) -> None:
        self.speed = (step - self.first) * self.tokens_per_step / max(time.monotonic() - self.started, 1e-9)
        if self.silent or not self.progress.due():
            return
        self._measure(step)
        left = (self.steps - step) * self.tokens_per_step / self.speed
        parts = [
            f"step {step}/{self.steps}",
            f"{step * self.tokens_per_step:,} tokens",
            f"loss {loss:.3f}",
            f"lr {learning_rate:.2e}",
            f"gradient {norm:.2f}",
            f"{self.speed:,.0f} tokens/s",
            f"MFU {self.utilization:.1%}" if self.utilization is not None else "",
            f"{memory_bytes(self.device) / 1e9:.2f} GB",
            f"{duration(left)} left",
        ]
        self.progress.update(", ".join(filter(None, parts)))

    def row(self, step: int) -> dict[str, float]:
        """A row of timings.jsonl: seconds since the start, which came after `from_step`, in all and by part, speed,
        overhead, memory, utilization.

        `overhead_share` is the time outside forward, backward and optimizer step over all time, validation and samples
        left out of both.
        """
        self._measure(step)
        elapsed = time.monotonic() - self.started
        training = max(elapsed - self.spent["validation"] - self.spent["samples"], 1e-9)
        row = {
            "step": step,
            "from_step": self.first,
            "seconds": round(elapsed, 3),
            "tokens_per_second": round(self.speed, 1),
            "overhead_share": round(max(0.0, 1 - self.spent["compute"] / training), 5),
            "memory_bytes": memory_bytes(self.device),
            **{f"{name}_seconds": round(seconds, 3) for name, seconds in sorted(self.spent.items())},
        }
        return row if self.utilization is None else {**row, "mfu": round(self.utilization, 4)}

    def _measure(self, step: int) -> None:
        """Model FLOPs utilization since the last time that this was called, without validation and samples."""
        if self.peak is None or self.flops_per_token is None:
            return
        now = time.monotonic() - self.started - self.spent["validation"] - self.spent["samples"]
        last_step, last_time = self.last
        if step > last_step and now > last_time:
            flops = (step - last_step) * self.tokens_per_step * self.flops_per_token
            self.utilization = flops / (now - last_time) / self.peak
            self.last = (step, now)

    def close(self, step: int) -> None:
        if not self.silent:
            self.progress.close(f"{several(step, 'step')}, {self.speed:,.0f} tokens/s")


def memory_bytes(device: torch.device) -> int:
    """The largest memory so far: of tensors on a GPU, what Metal holds now on Apple's, of the process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return torch.mps.driver_allocated_memory() if device.type == "mps" else peak_memory_bytes()


def peak_of(world: World, precision: Precision, folders: Sequence[Path] = CONFIG) -> float | None:
    """What the GPUs of a world can do at most (operations per second); None, and a line, where that is not known."""
    name = card_name(world.device)
    if name is None:
        return None
    machine = machine_of(name, folders)
    peak = machine.peak(precision) if machine else None
    if machine is None or peak is None:
        if world.leads:
            log.info(
                "no peak in %s is known for %s, MFU is not shown; add a file in config/hardware with this name among"
                " device_names", precision, name,
            )  # fmt: skip
        return None
    return peak / machine.devices * world.size


def card_name(device: torch.device) -> str | None:
    """What torch calls a GPU; None for a processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.mps.get_name() if device.type == "mps" else None


def machine_of(name: str, folders: Sequence[Path] = CONFIG) -> Hardware | None:
    """The machine of config/hardware with such a GPU. Names are compared as a whole, so an L40S is no L4."""
    for file in names("hardware", *folders):
        machine: Hardware = load("hardware", file, *folders)
        if name.casefold() in map(str.casefold, machine.device_names):
            return machine
    return None
