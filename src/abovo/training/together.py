"""Turn a training job into its artifact with all processes of a world: rank 0 produces it, the others help to train."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from abovo.errors import AbovoError
from abovo.provenance.files import write_json
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.job import JobSettings
from abovo.settings.keys import decisive, plain
from abovo.training.branch import keep_state, plant_state
from abovo.training.ending import ending
from abovo.training.engines import build_engine, micro_batch
from abovo.training.kept import sweep_kept
from abovo.training.loop import train
from abovo.training.loss import Batch
from abovo.training.memory import find_rows, remembered
from abovo.training.start import trained_size
from abovo.training.state import State, discard_state, open_state
from abovo.training.task import Task, read_settings
from abovo.training.world import World

log = logging.getLogger("abovo")
Rows = list[dict[str, Any]]
# What rank 0 has the others do
WAIT, TRAIN, NOTHING = "wait", "train", "nothing"


def produce_together(world: World, job: Job, state: Path, make: Callable[[Path | None], Made | None]) -> None:
    """Put the job's artifact in place. `make` trains: with rank 0's folder it also exports, with None it only helps.

    Whether there is anything to train, rank 0 knows and the others are told; and that it waits for another job, so that
    they do not give it up.
    """
    if not world.leads:
        while (told := world.share()) == WAIT:
            pass
        if told == TRAIN:
            make(None)
        return
    begun = False

    def placed() -> None:
        discard_state(state)
        sweep_kept(job.output, {one["name"] for one in read_manifest(job.output).data.get("checkpoints", ())})

    def lead(folder: Path) -> Made:
        nonlocal begun
        begun = True
        world.share(TRAIN)
        made = make(folder)
        assert made is not None
        return made

    produce(job, lead, waiting=lambda: world.share(WAIT), placed=placed)
    if not begun:
        world.share(NOTHING)


@dataclass(frozen=True)
class Run:
    """A task that a world carries out; `build` makes its model, with `exact` one whose frozen weights are as they were,
    `state` is the folder of its live state, `held_out` gives the batches of its validation by their rows."""

    task: Task
    world: World
    settings: JobSettings
    inputs: Mapping[str, Manifest]
    build: Callable[..., nn.Module]
    state: Path
    held_out: Callable[[int], Iterable[Batch]]

    @property
    def rows(self) -> int:
        """Of a global batch (sequences)."""
        return self.task.tokens_per_step // self.settings.sequence_length


def train_together(run: Run, folder: Path | None) -> tuple[nn.Module, Rows] | None:
    """Train a run's model; metrics and timings come into `folder`.

    Training goes on from the end of the phase `before` among the inputs, where there is one; where another phase
    follows, its own end comes into `folder` too. Returns the trained model and the rows of its metrics on rank 0, None
    elsewhere.
    """
    model, task = run.build(), run.task
    if folder is None:
        _train(run, model, None, None)
        return None
    with open_state(run.state, _identity(run), 12 * trained_size(model), partial(_completed, run)) as state:
        if "before" in run.inputs:
            plant_state(state, task.start, run.inputs["before"])
        trained = _train(run, model, state, folder)
        rows = state.rows()
        for path in state.logs:
            (folder / path.name).write_bytes(state.read(path))
        if task.whole is not None and task.steps < task.whole:
            end = ending([row for row in rows if row["step"] > task.start], task.recipe, task.steps)
            keep_state(state, end.weights_of, folder)
    return trained, rows


def _identity(run: Run) -> dict[str, Any]:
    """What a checkpoint belongs to. Not the engine: checkpoints have one form, so another number of processes may go on
    from them."""
    inputs = {role: manifest.digest for role, manifest in run.inputs.items()}
    return {"inputs": inputs, "settings": _settings_of(run.settings), "precision": run.task.recipe.precision}


def _completed(run: Run, held: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an earlier version said that checkpoints belong to: keys that it did not know have their defaults."""
    try:
        settings = read_settings({**held["settings"], "engine": plain(run.settings.engine)})
    except (AbovoError, KeyError, TypeError):  # of a key that is no more, which then is what differs
        return held
    return {**held, "settings": _settings_of(settings)}


def _settings_of(settings: JobSettings) -> dict[str, Any]:
    return {name: value for name, value in decisive(settings).items() if name != "engine"}


def _train(run: Run, model: nn.Module, state: State | None, folder: Path | None) -> nn.Module:
    """Train `model` with the run's engine. Returns it, or on rank 0 another one that holds all weights. What a library
    was told comes into `folder`."""
    world, rows = run.world, _micro_batch(run, state)
    recipe = replace(run.task.recipe, micro_batch_sequences=rows)
    task = replace(run.task, recipe=recipe, validation=lambda: run.held_out(rows * world.size))
    engine = build_engine(model, recipe, world, run.settings.engine, run.rows)
    if folder is not None:
        for name, values in engine.told.items():
            write_json(folder / name, values)
    train(task, engine, world, state)
    weights = engine.weights()
    if (engine.whole and run.settings.quantization is None) or not world.leads:
        return model
    # this process's model holds parts or rounded values; the weights themselves go into a new one
    whole = run.build(exact=True)
    whole.load_state_dict(weights, strict=False)
    return whole


def _micro_batch(run: Run, state: State | None) -> int:
    """Rows per micro-batch: the recipe's, or those that were found for GPUs like these, now or before a resume.

    DeepSpeed never lets go of an engine's memory, so none is made only to be measured.
    """
    recipe, world, engine = run.task.recipe, run.world, run.settings.engine
    if recipe.micro_batch_sequences != "auto" or world.device.type != "cuda" or engine.kind == "deepspeed":
        return micro_batch(recipe)

    def find() -> int:
        return find_rows(lambda: build_engine(run.build(), recipe, world, engine, run.rows), run.task.batch(0), world)

    if world.leads:
        log.info("%s: looking for the fastest micro_batch_sequences", run.task.label)
    # the shape of the model is the state's own
    card = torch.cuda.get_device_properties(world.device)
    place = (card.name, card.total_memory, world.size, engine.strategy, recipe.precision)
    return remembered(state.micro_batch if state else None, place, world, find)
