"""Turn a model, a data order and a recipe into trained weights, metrics and checkpoints.

Pretraining and fine-tuning share this loop. Everything that a step depends on is either in the checkpoint or a pure
function of the step's number, so a resumed run makes the same steps as one that never stopped.
"""

import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from abovo.console.progress import Progress, duration
from abovo.errors import AbovoError
from abovo.training.engines import Engine
from abovo.training.loss import Batch
from abovo.training.schedule import learning_rate_factor
from abovo.training.state import State
from abovo.training.world import World

log = logging.getLogger("abovo")


@dataclass(frozen=True)
class Task:
    """What is to be trained. `batch(k)` is global batch k (0 is the first), `validation()` the held-out batches.

    A phase is trained from the step `start`, at which the one before handed over its state, to the step `steps`;
    schedules span the `whole` run (steps, default: `steps`).
    """

    label: str
    batch: Callable[[int], Batch]
    validation: Callable[[], Iterable[Batch]]
    steps: int
    tokens_per_step: int
    recipe: Mapping[str, Any]
    tensorboard: Path | None = None
    start: int = 0
    whole: int | None = None


class Stopped(SystemExit):
    """Training was asked to stop and its checkpoint is on the disk; the exit status is 128 + the signal's number."""


def train(task: Task, engine: Engine, world: World, state: State | None) -> None:
    """Train to the last step, from the newest checkpoint where there is one.

    All processes of the world call it together; `state` is rank 0's, None elsewhere. SIGTERM and SIGUSR1 end the step,
    write a checkpoint and raise Stopped. A loss that is not finite raises AbovoError and names the last good
    checkpoint.
    """
    first = _resume(task, engine, world, state)
    stop = _StopRequest()
    board = _Board(task.tensorboard if world.leads else None, first)
    watch = _Stopwatch(task, first, silent=not world.leads)
    saved = first
    for step in range(first + 1, task.steps + 1):
        factor = learning_rate_factor(task.recipe["schedule"], step, task.whole or task.steps)
        batch = task.batch(step - 1)
        part = engine.gradient(batch.rows(world.slice(len(batch.ids))), max(1, batch.targets))
        loss, signalled = world.sums([part, stop.signal])
        norm = engine.clip(task.recipe["gradient_clip"])
        if not math.isfinite(loss) or not math.isfinite(norm):
            place = f"step {step}, loss {loss}, gradient norm {norm}"
            mend = "lower the learning rate and start again" if saved else "check the data and the learning rate"
            raise AbovoError(f"the training diverged; the last good checkpoint is of step {saved}", place, mend)
        engine.step(factor, step)
        watch.update(step, loss, engine.learning_rate)
        if step == 1 or step % task.recipe["log_interval"] == 0 or step == task.steps:
            _record(state, board, step, task, {"loss": loss, "lr": engine.learning_rate, "grad_norm": norm})
            if state is not None:
                state.append(state.timings, watch.row(step))
        due = step % task.recipe["validation_interval"] == 0 or step == task.steps
        if step % task.recipe["checkpoint_interval"] == 0 or due or signalled:
            # before the validation, so that a failing evaluation costs no step; its row is then written again
            _save(state, step, engine, world)
            saved = step
        if signalled:
            if world.leads:
                log.warning(
                    "%s: stopped at step %d of %d; the same command goes on from there", task.label, step, task.steps
                )
            raise Stopped(128 + (stop.signal or signal.SIGTERM))
        if due:
            _record(state, board, step, task, _validate(task, engine, world))
    board.close()
    watch.close()


def _validate(task: Task, engine: Engine, world: World) -> dict[str, float]:
    """Mean loss per target over all held-out batches, and over those of each named source (nats)."""
    parts: dict[str, float] = {}
    targets: dict[str, int] = {}
    for batch in task.validation():
        part = engine.evaluate(batch.rows(world.slice(len(batch.ids))))
        parts[batch.source] = parts.get(batch.source, 0.0) + part
        targets[batch.source] = targets.get(batch.source, 0) + batch.targets
    sums = dict(zip(parts, world.sums(list(parts.values())), strict=True))
    row = {"validation_loss": sum(sums.values()) / max(1, sum(targets.values()))}
    return row | {f"validation_loss/{name}": sums[name] / targets[name] for name in sums if name and targets[name]}


def _record(state: State | None, board: "_Board", step: int, task: Task, values: Mapping[str, float]) -> None:
    if state is not None:
        state.append(state.metrics, {"step": step, "tokens": step * task.tokens_per_step, **values})
    board.add(step, values)


def _save(state: State | None, step: int, engine: Engine, world: World) -> None:
    """Checkpoint of a step: what the engine holds and the random generators of every process."""
    random: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if world.device.type == "cuda":
        random["cuda"] = torch.cuda.get_rng_state(world.device)
    content = {**engine.state(), "random": world.gather(random)}
    if state is not None:
        state.save(step, content)
    world.share()  # nobody goes on, and dies, before the checkpoint is on the disk


def _resume(task: Task, engine: Engine, world: World, state: State | None) -> int:
    """Load the newest sound checkpoint into the engine and the random generators; return its step, else 0."""
    found = world.share(state.load() if state is not None else None)
    if found is None:
        return 0
    step, content = found
    engine.load(content)
    if len(content["random"]) == world.size:
        own = content["random"][world.rank]
        torch.set_rng_state(own["cpu"])
        if world.device.type == "cuda" and "cuda" in own:
            torch.cuda.set_rng_state(own["cuda"], world.device)
    if world.leads:
        log.info("%s: going on from the checkpoint of step %d", task.label, step)
    if step % task.recipe["validation_interval"] == 0 or step in (task.start, task.steps):
        values = _validate(task, engine, world)
        if state is not None:
            state.append(state.metrics, {"step": step, "tokens": step * task.tokens_per_step, **values})
    return step


class _StopRequest:
    """Remembers that SIGTERM or SIGUSR1 came, so that the step under way can end."""

    def __init__(self) -> None:
        self.signal = 0
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._remember)

    def _remember(self, number: int, _frame: object) -> None:
        self.signal = number


class _Stopwatch:
    """Speed and remaining time, for people; nothing that is hashed comes from here."""

    def __init__(self, task: Task, first: int, *, silent: bool) -> None:
        self.task, self.first, self.started, self.silent = task, first, time.monotonic(), silent
        self.progress = Progress(task.label)
        self.speed = 0.0

    def update(self, step: int, loss: float, learning_rate: float) -> None:
        elapsed = time.monotonic() - self.started
        self.speed = (step - self.first) * self.task.tokens_per_step / max(elapsed, 1e-9)
        if self.silent:
            return
        left = (self.task.steps - step) * self.task.tokens_per_step / self.speed
        self.progress.update(
            f"step {step}/{self.task.steps}, {step * self.task.tokens_per_step:,} tokens, loss {loss:.3f}, "
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
            self.progress.close(f"{self.task.steps} steps, {self.speed:,.0f} tokens/s")


class _Board:
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
