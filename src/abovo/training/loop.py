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
from torch import nn

from abovo.console.progress import Progress, duration
from abovo.errors import AbovoError
from abovo.training.loss import Batch, autocast, mean_loss, summed_loss
from abovo.training.optimizers import Optimizers
from abovo.training.schedule import learning_rate_factor
from abovo.training.state import State

log = logging.getLogger("abovo")


@dataclass(frozen=True)
class Task:
    """What is to be trained. `batch(k)` is global batch k (0 is the first), `validation()` the held-out batches."""

    label: str
    model: nn.Module
    batch: Callable[[int], Batch]
    validation: Callable[[], Iterable[Batch]]
    steps: int
    tokens_per_step: int
    recipe: Mapping[str, Any]
    device: torch.device
    tensorboard: Path | None = None


class Stopped(SystemExit):
    """Training was asked to stop and its checkpoint is on the disk; the exit status is 128 + the signal's number."""


def train(task: Task, state: State) -> list[dict[str, Any]]:
    """Train to the last step, from the newest checkpoint where there is one, and return the rows of metrics.jsonl.

    SIGTERM and SIGUSR1 end the step, write a checkpoint and raise Stopped. A loss that is not finite raises
    AbovoError and names the last good checkpoint.
    """
    model = task.model.to(task.device).train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizers = Optimizers(model, task.recipe["optimizer"])
    first = _resume(task, state, model, optimizers)
    stop = _StopRequest()
    board = _Board(task.tensorboard, first)
    watch = _Stopwatch(task, first)
    saved = first
    for step in range(first + 1, task.steps + 1):
        factor = learning_rate_factor(task.recipe["schedule"], step, task.steps)
        loss = _forward_backward(task, model, step)
        norm = _clip(trainable, task.recipe["gradient_clip"])
        if not math.isfinite(loss) or not math.isfinite(norm):
            place = f"step {step}, loss {loss}, gradient norm {norm}"
            mend = "lower the learning rate and start again" if saved else "check the data and the learning rate"
            raise AbovoError(f"the training diverged; the last good checkpoint is of step {saved}", place, mend)
        optimizers.step(factor, step)
        optimizers.zero_grad()
        watch.update(step, loss, optimizers.learning_rate)
        if step == 1 or step % task.recipe["log_interval"] == 0 or step == task.steps:
            row = {"loss": loss, "lr": optimizers.learning_rate, "grad_norm": norm}
            _record(state, board, step, task, row)
            state.append(state.timings, watch.row(step))
        due = step % task.recipe["validation_interval"] == 0 or step == task.steps
        if step % task.recipe["checkpoint_interval"] == 0 or due or stop.signal:
            # before the validation, so that a failing evaluation costs no step; its row is then written again
            _save(state, step, model, optimizers)
            saved = step
        if stop.signal:
            log.warning(
                "%s: stopped at step %d of %d; the same command goes on from there", task.label, step, task.steps
            )
            raise Stopped(128 + stop.signal)
        if due:
            value = mean_loss(model, task.validation(), task.device, task.recipe["precision"])
            _record(state, board, step, task, {"validation_loss": value})
    board.close()
    watch.close()
    return state.rows()


def _forward_backward(task: Task, model: nn.Module, step: int) -> float:
    """Add up the gradient of the global batch's mean loss over its micro-batches; return that loss."""
    batch = task.batch(step - 1)
    targets = max(1, batch.targets)
    total = torch.zeros((), device=task.device)
    for part in batch.split(task.recipe["micro_batch_sequences"]):
        with autocast(task.device, task.recipe["precision"]):
            loss = summed_loss(model, part.to(task.device)) / targets
        loss.backward()
        total += loss.detach()
    return total.item()


def _clip(parameters: list[nn.Parameter], largest: float | None) -> float:
    norm = torch.nn.utils.clip_grad_norm_(parameters, largest if largest is not None else math.inf)
    return norm.item()


def _record(state: State, board: "_Board", step: int, task: Task, values: Mapping[str, float]) -> None:
    state.append(state.metrics, {"step": step, "tokens": step * task.tokens_per_step, **values})
    board.add(step, values)


def _save(state: State, step: int, model: nn.Module, optimizers: Optimizers) -> None:
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    weights = {name: tensor for name, tensor in model.state_dict().items() if name in trained}
    random: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state_all()
    state.save(step, {"model": weights, "optimizers": optimizers.state_dict(), "random": random})


def _resume(task: Task, state: State, model: nn.Module, optimizers: Optimizers) -> int:
    """Load the newest sound checkpoint into model, optimizers and random generators; return its step, else 0."""
    found = state.load()
    if found is None:
        return 0
    step, content = found
    model.load_state_dict(content["model"], strict=False)
    optimizers.load_state_dict(content["optimizers"])
    torch.set_rng_state(content["random"]["cpu"])
    if torch.cuda.is_available() and "cuda" in content["random"]:
        torch.cuda.set_rng_state_all(content["random"]["cuda"])
    log.info("%s: going on from the checkpoint of step %d", task.label, step)
    if step % task.recipe["validation_interval"] == 0 or step == task.steps:
        value = mean_loss(model, task.validation(), task.device, task.recipe["precision"])
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


class _Stopwatch:
    """Speed and remaining time, for people; nothing that is hashed comes from here."""

    def __init__(self, task: Task, first: int) -> None:
        self.task, self.first, self.started = task, first, time.monotonic()
        self.progress = Progress(task.label)
        self.speed = 0.0

    def update(self, step: int, loss: float, learning_rate: float) -> None:
        elapsed = time.monotonic() - self.started
        self.speed = (step - self.first) * self.task.tokens_per_step / max(elapsed, 1e-9)
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
