"""Turn a model, a data order and a recipe into trained weights, metrics and checkpoints.

Pretraining and fine-tuning share this loop. Everything that a step depends on is either in the checkpoint or a pure
function of the step's number, so a resumed run makes the same steps as one that never stopped.

Nothing waits for the device that need not: batches are read ahead, the numbers of a step are looked at when the next
one is under way, and checkpoints are written in the background. What is written is of steps that were looked at.
"""

import logging
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from abovo.errors import AbovoError
from abovo.training.ahead import read_ahead
from abovo.training.boards import Board, open_boards
from abovo.training.device import random_state, set_random_state
from abovo.training.ending import Best, SpikeGuard, best_validation, is_finite, is_over
from abovo.training.engines import Engine
from abovo.training.kept import keep_weights, verify_kept
from abovo.training.loss import Batch
from abovo.training.saving import Saver
from abovo.training.schedule import learning_rate_factor, weight_decay_factor
from abovo.training.state import State
from abovo.training.stopping import StopRequest
from abovo.training.task import Task
from abovo.training.watching import Stopwatch, peak_of
from abovo.training.world import Promised, World

log = logging.getLogger("abovo")


class Stopped(SystemExit):
    """Training was asked to stop, by the signal `number`, and its checkpoint is on the disk, `steps` after it began or
    went on; the exit status is 128 + the signal's number."""

    def __init__(self, number: int, steps: int) -> None:
        super().__init__(128 + number)
        self.number, self.steps = number, steps


@dataclass(frozen=True)
class _Made:
    """A step that was made, and the numbers that tell how it went: the loss, how often a signal or a checkpoint that
    could not be written asks for an end, the gradient norm; with the losses `auxiliary` between them."""

    step: int
    learning_rate: float
    auxiliary: tuple[str, ...]
    numbers: Promised


@dataclass
class _Training:
    """A run under way: what it is, what carries it out, who watches, and the metrics so far (the same on all ranks).

    `made` is the last step while nothing has looked at its numbers, `asked` whether any process is known to have been
    asked to stop.
    """

    task: Task
    engine: Engine
    world: World
    state: State | None
    saver: Saver | None
    guard: SpikeGuard
    watch: Stopwatch
    made: _Made | None = None
    asked: bool = False
    boards: list[Board] = field(default_factory=list)
    validations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def best(self) -> Best | None:
        return best_validation(self.validations, self.task.recipe.early_stopping.least_gain)

    @property
    def over(self) -> bool:
        patience = self.task.recipe.early_stopping.patience
        return patience is not None and is_over(self.best, patience)


def train(task: Task, engine: Engine, world: World, state: State | None) -> None:
    """Train to the last step, from the newest checkpoint where there is one.

    All processes of the world call it together; `state` is rank 0's, None elsewhere. SIGINT (Ctrl-C), SIGHUP, SIGTERM
    and SIGUSR1 end the step, write a checkpoint and raise Stopped. A loss that is not finite, or that stays high,
    raises AbovoError and names the last good checkpoint. Where validation gets no better for as long as the recipe
    says, the run ends early with the weights of its best validation; `ending` tells it from the metrics. No thread is
    left at the end, and every checkpoint is then on the disk.
    """
    content = world.share(state.load() if state is not None else None)
    first = content[0] if content else 0
    saver = Saver(state) if state is not None else None
    guard, watch = SpikeGuard(task.recipe.spike_guard), _stopwatch(task, world, first)
    run = _Training(task, engine, world, state, saver, guard, watch)
    if world.device.type == "cuda" and world.leads:
        run.watch.progress.update("compiling, before the first step", force=True)
    folder = state.folder.parent if state is not None else None
    run.boards = open_boards(task.recipe, task.tensorboard if world.leads else None, folder, first)
    try:
        if state is not None:
            # the model of the step itself may be missing: what was due after it is done again
            verify_kept(state.folder, (step for step in task.kept if task.start < step < first))
        if content:
            _resume(run, first, content[1])
        else:
            _observe(run, first)  # what training starts from is measured, too
        del content  # as large as the model and its optimizer
        last = _steps(run, first)
        if last < task.steps:
            _take_best(run, last)
        run.watch.close(last)
    except OSError as error:
        # of a full disk that a checkpoint was being written to, that checkpoint says more than the row that met it
        if saver is not None and isinstance(failure := saver.failure(), AbovoError):
            raise failure from error
        raise
    finally:
        if saver is not None:
            saver.close()
        for board in run.boards:
            board.close()


def _steps(run: _Training, first: int) -> int:
    """The steps after `first`, with what is due after each of them; returns the last."""
    steps = range(first + 1, run.task.steps + 1)
    with (
        StopRequest(silent=not run.world.leads) as stop,
        read_ahead(lambda step: _read(run, step), steps, run.world.device) as batches,
    ):
        last = _steps_until(run, first, stop, batches)
        _await_checkpoint(run)
        return last


def _steps_until(run: _Training, first: int, stop: StopRequest, batches: Iterator[tuple[Batch, int]]) -> int:
    task, step = run.task, first
    while step < task.steps and not run.over:
        step += 1
        _step(run, step, stop, batches)
        # a process alone need not agree with others, and ends with the step under way
        run.asked |= run.world.size == 1 and bool(stop.signal)
        due = _is_due(task, step, "validation_interval")
        if _is_due(task, step, "checkpoint_interval") or due or run.asked:
            _look(run)
            # before the validation, so that a failing evaluation costs no step; its row is then written again
            _save(run, step)
        if run.asked:
            _await_checkpoint(run)
            if run.world.leads:
                run.watch.progress.clear()
                log.warning(
                    "%s: stopped at step %d of %d; the same command goes on from there", task.label, step, task.steps
                )
            # a signal to all processes may not have reached this one yet
            raise Stopped(max(run.world.gather(stop.signal)) or signal.SIGTERM, step - first)
        _observe(run, step)
    return step


def _read(run: _Training, step: int) -> tuple[Batch, int]:
    """This process's part of a batch, in memory that a GPU reads by itself, and the targets of all of the batch."""
    batch = run.task.batch(step - 1)
    part = batch.rows(run.world.slice(len(batch.ids)))
    return part.pinned() if run.world.device.type == "cuda" else part, max(1, batch.targets)


def _step(run: _Training, step: int, stop: StopRequest, batches: Iterator[tuple[Batch, int]]) -> None:
    """Make one optimizer step, and look at the one before while the device is at work."""
    task, engine, recipe, watch = run.task, run.engine, run.task.recipe, run.watch
    whole = task.whole or task.steps
    factor = learning_rate_factor(task.schedule or recipe.schedule, step, whole)
    decay = weight_decay_factor(recipe.optimizer.weight_decay_schedule, step, whole, factor)
    with watch.part("data"):
        part, targets = next(batches)
    with watch.part("compute"):
        losses = engine.gradient(part, targets)
        norm = engine.clip(recipe.gradient_clip)
        failed = run.saver is not None and run.saver.failed
        numbers = run.world.promise([*losses.unbind(), stop.signal, failed], norm)
        engine.step(factor, step, decay)
    _look(run)
    run.made = _Made(step, engine.learning_rate, tuple(part.auxiliary or ()), numbers)


def _look(run: _Training) -> None:
    """Check and record the last step that was made, where nothing has yet."""
    made, run.made = run.made, None
    if made is None:
        return
    step, watch = made.step, run.watch
    with watch.part("compute"):
        loss, *parts, signalled, failed, norm = made.numbers.get()
    if failed:
        _await_checkpoint(run)
    if not is_finite(loss, norm):
        raise _diverged(run, step, f"step {step}, loss {loss}, gradient norm {norm}")
    if run.guard.add(loss):
        raise _diverged(
            run, step - run.guard.steps + 1, f"steps {step - run.guard.steps + 1} to {step}, loss {loss:.3f}"
        )
    watch.update(step, loss, made.learning_rate, norm)
    shown = step == 1 or _is_due(run.task, step, "log_interval")
    auxiliary = {f"auxiliary/{name}": value for name, value in zip(made.auxiliary, parts, strict=True)}
    _record(run, step, {"loss": loss, "lr": made.learning_rate, "grad_norm": norm, **auxiliary}, shown)
    if shown and run.state is not None:
        run.state.append(run.state.timings, watch.row(step))
    run.asked |= bool(signalled)


def _is_due(task: Task, step: int, interval: str) -> bool:
    return step % getattr(task.recipe, interval) == 0 or step == task.steps


def _diverged(run: _Training, first: int, place: str) -> AbovoError:
    """What to say of losses that went wrong at step `first`."""
    if run.saver is not None:
        run.saver.failure()  # what is being written may be the last good one
    kept = run.world.share([step for step in run.state.steps() if step < first] if run.state is not None else None)
    good = f"the last good checkpoint is of step {kept[0]}" if kept else "there is no good checkpoint"
    mend = "lower the learning rate and start again" if kept else "check the data and the learning rate"
    return AbovoError(f"the training diverged; {good}", place, mend)


def _observe(run: _Training, step: int) -> None:
    """What is due after a step, and again where a run goes on from its checkpoint: the model that is kept of it,
    validation, then samples."""
    task = run.task
    if step in task.kept and step > task.start:
        _look(run)
        with run.watch.part("checkpoint"):
            weights = run.engine.weights()
            if run.state is not None:
                run.state.lock.confirm()
                keep_weights(run.state.folder, step, weights)
    if _is_due(task, step, "validation_interval") or step == task.start:
        with run.watch.part("validation"):
            losses = _validate(task, run.engine, run.world)
        if step > task.start:  # the start of a phase is none of its gains
            run.validations.append({"step": step, **losses})
        _record(run, step, losses)
    if task.sample is not None and step > 0 and (step % task.recipe.samples.interval == 0 or step == task.steps):
        _look(run)
        with run.watch.part("samples"):
            found = task.sample(run.engine, run.world.share)
        if run.state is not None:
            for row in found:
                run.state.append(run.state.samples, {"step": step, **row})


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


def _record(run: _Training, step: int, values: Mapping[str, float], shown: bool = True) -> None:
    """Keep the values of a step in metrics.jsonl, and show them on the boards where they are to be shown."""
    if run.state is not None:
        run.state.append(run.state.metrics, {"step": step, "tokens": step * run.task.tokens_per_step, **values})
    for board in run.boards if shown else ():
        board.add(step, values)


def _save(run: _Training, step: int) -> None:
    """Begin to write the checkpoint of a step, when the one before is on the disk: what the engine holds, the random
    generators of every process, the last losses."""
    _await_checkpoint(run)
    world, recipe = run.world, run.task.recipe
    random = random_state(world.device)
    with run.watch.part("checkpoint"):
        content = {**run.engine.state(), "random": world.gather(random), "guard": run.guard.state()}
        if run.saver is not None:
            stopping = recipe.early_stopping.patience is not None
            best = run.best.step if stopping and run.best else None
            run.saver.save(step, content, last=recipe.keep_last, every=recipe.keep_every, best=best)


def _await_checkpoint(run: _Training) -> None:
    """Wait until the last checkpoint is on the disk; where it cannot be written all end, and rank 0 says why."""
    with run.watch.part("checkpoint"):
        failure = run.saver.failure() if run.saver is not None else None
        failed = run.world.share(failure is not None)
    if failed:
        raise failure or SystemExit(1)


def _resume(run: _Training, step: int, content: Mapping[str, Any]) -> None:
    """Put a checkpoint into the engine and the random generators, and do what was due after its step."""
    world = run.world
    run.engine.load(dict(content))
    run.guard.load(content["guard"])
    if len(content["random"]) == world.size:
        set_random_state(world.device, content["random"][world.rank])
    rows = run.state.rows() if run.state is not None else []
    run.validations = world.share([row for row in rows if "validation_loss" in row and row["step"] > run.task.start])
    if world.leads:
        log.info("%s: going on from the checkpoint of step %d", run.task.label, step)
    _observe(run, step)


def _take_best(run: _Training, step: int) -> None:
    """End a run early with the weights of its best validation."""
    best = run.best
    assert best is not None
    run.engine.load(run.world.share(run.state.load_step(best.step) if run.state is not None else None))
    if run.world.leads:
        log.info(
            "%s: ended early at step %d of %d, no better validation since step %d (%.4f), whose weights are kept",
            run.task.label, step, run.task.steps, best.step, best.loss,
        )  # fmt: skip


def _stopwatch(task: Task, world: World, first: int) -> Stopwatch:
    peak = peak_of(world, task.recipe.precision) if task.flops_per_token else None
    return Stopwatch(
        task.label,
        first,
        task.steps,
        task.tokens_per_step,
        world.device,
        peak,
        task.flops_per_token,
        silent=not world.leads,
    )
