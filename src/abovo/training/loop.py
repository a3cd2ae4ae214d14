"""Turn a model, a data order and a recipe into trained weights, metrics and checkpoints.

Pretraining and fine-tuning share this loop. Everything that a step depends on is either in the checkpoint or a pure
function of the step's number, so a resumed run makes the same steps as one that never stopped.
"""

import logging
import math
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from abovo.errors import AbovoError
from abovo.training.engines import Engine
from abovo.training.loss import Batch
from abovo.training.schedule import learning_rate_factor
from abovo.training.state import State
from abovo.training.watching import Board, Stopwatch
from abovo.training.world import World

log = logging.getLogger("abovo")


@dataclass(frozen=True)
class Task:
    """What is to be trained. `batch(k)` is global batch k (0 is the first), `validation()` the held-out batches."""

    label: str
    batch: Callable[[int], Batch]
    validation: Callable[[], Iterable[Batch]]
    steps: int
    tokens_per_step: int
    recipe: Mapping[str, Any]
    tensorboard: Path | None = None


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
    board = Board(task.tensorboard if world.leads else None, first)
    watch = Stopwatch(task.label, first, task.steps, task.tokens_per_step, silent=not world.leads)
    saved = first
    for step in range(first + 1, task.steps + 1):
        factor = learning_rate_factor(task.recipe["schedule"], step, task.steps)
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
            _record(state, board, step, task, {"validation_loss": _validate(task, engine, world)})
    board.close()
    watch.close()


def _validate(task: Task, engine: Engine, world: World) -> float:
    """Mean loss per target over all held-out batches (nats)."""
    total, targets = 0.0, 0
    for batch in task.validation():
        total += engine.evaluate(batch.rows(world.slice(len(batch.ids))))
        targets += batch.targets
    return world.sums([total])[0] / max(1, targets)


def _record(state: State | None, board: Board, step: int, task: Task, values: Mapping[str, float]) -> None:
    if state is not None:
        state.append(state.metrics, {"step": step, "tokens": step * task.tokens_per_step, **values})
    board.add(step, values)


def _save(state: State | None, step: int, engine: Engine, world: World) -> None:
    """Checkpoint of a step: what the engine holds and the random generators of every process."""
    random: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if world.device.type == "cuda":
        random["cuda"] = torch.cuda.get_rng_state(world.device)
    content = {**engine.state(), "random": world.gather(random)}
    failure: AbovoError | None = None
    if state is not None:
        try:
            state.save(step, content)
        except AbovoError as error:
            failure = error
    # nobody goes on, and dies, before the checkpoint is on the disk; where there is none, all end, and rank 0 says why
    failed = world.share(failure is not None)
    if failed:
        raise failure or SystemExit(1)


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
    if step % task.recipe["validation_interval"] == 0 or step == task.steps:
        value = _validate(task, engine, world)
        if state is not None:
            state.append(state.metrics, {"step": step, "tokens": step * task.tokens_per_step, "validation_loss": value})
    return step


class _StopRequest:
    """Remembers that SIGTERM or SIGUSR1 came, so that the step under way can end."""

    def __init__(self) -> None:
        self.signal = 0
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._remember)

    def _remember(self, number: int, _frame: object) -> None:
        self.signal = number
