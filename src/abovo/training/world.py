"""Turn the environment that a launcher sets into this process's place among the processes of a training run."""

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from abovo.cluster.launched import die_with_parent
from abovo.errors import AbovoError
from abovo.settings.engine import Engine
from abovo.training.device import prepare_device

PATIENCE = datetime.timedelta(minutes=30)
# Strategies that are nothing to one process, and need no group of processes then
ALONE = ("none", "ddp")


@dataclass(frozen=True)
class Promised:
    """Numbers that are on their way to this process; `get` waits for them, and for nothing that was begun since."""

    numbers: torch.Tensor
    work: Any = None
    arrival: Any = None

    def get(self) -> list[float]:
        if self.work is not None:
            self.work.wait()
        if self.arrival is not None:
            self.arrival.synchronize()
        return self.numbers.tolist()


@dataclass(frozen=True)
class World:
    """`rank` of `size` processes; rank 0 leads: it alone writes files and speaks."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @property
    def exact(self) -> torch.dtype:
        """What sums are made in: float64, where the device has it."""
        return torch.float64 if self.device.type != "mps" else torch.float32

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all processes, in float64."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=self.exact, device=self.device)
        dist.all_reduce(tensor)
        return tensor.tolist()

    def promise(self, summed: Sequence[torch.Tensor | float], beside: torch.Tensor) -> Promised:
        """Numbers summed over all processes, then one that all have. No number of the device is waited for."""
        # a number of Python's reaches the device as an argument of a kernel: a copy would wait for all before it
        parts = [
            part.detach().to(self.exact) if isinstance(part, torch.Tensor)
            else torch.full((), part, dtype=self.exact, device=self.device)
            for part in (*summed, beside)
        ]  # fmt: skip
        numbers, work = torch.stack(parts), None
        if self.size > 1:
            work = dist.all_reduce(numbers[: len(summed)], async_op=True)
        if self.device.type != "cuda":
            return Promised(numbers, work)
        if work is not None:
            work.wait()  # for NCCL: what follows on the device waits, this process does not
        # to memory of their own now: asked for after the next step they would come after it
        here = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
        here.copy_(numbers, non_blocking=True)
        arrival = torch.cuda.Event()
        arrival.record()
        return Promised(here, arrival=arrival)

    def share(self, value: Any = None) -> Any:
        """Rank 0's value, everywhere."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, in the order of the ranks."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def slice(self, rows: int) -> slice:
        """This process's part of `rows` rows. All parts are equally long; the last may reach beyond the rows."""
        length = -(-rows // self.size)
        return slice(length * self.rank, length * (self.rank + 1))


@contextmanager
def open_world(engine: Engine, threads: int) -> Iterator[World]:
    """Join the other processes of the run, where the engine asks for several.

    Raises AbovoError where the processes that a launcher started are not as many as `engine.processes`.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if size != engine.processes:
        mend = "start it as snakemake -np shows for the run"
        raise AbovoError(f"{size} processes were started, the engine wants {engine.processes}", "engine", mend)
    device = prepare_device(engine, threads)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if device.index >= torch.cuda.device_count():
            here = engine.processes // engine.nodes
            what = f"there are {torch.cuda.device_count()} GPUs for {here} processes"
            raise AbovoError(what, "engine.processes", "set it to the number of GPUs of all its nodes")
        torch.cuda.set_device(device)
    if size == 1 and engine.kind == "torch" and engine.strategy in ALONE:
        yield World(0, 1, device)
        return
    named = {"backend": "nccl", "device_id": device} if device.type == "cuda" else {"backend": "gloo"}
    if size == 1:  # no launcher, and none of its variables
        dist.init_process_group(store=dist.HashStore(), rank=0, world_size=1, **named)
    else:
        # torchrun starts its workers in sessions of their own, where no signal to the job's process group reaches them
        die_with_parent()
        dist.init_process_group(timeout=PATIENCE, **named)
    yield World(rank, size, device)
    # Nobody leaves while another needs it. The group is not destroyed: gloo's clean-up waits for a thread that may wait
    # for Python's lock, and hung one run in six on a busy machine. The process ends without it (console/launch.py).
    dist.barrier()
