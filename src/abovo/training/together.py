"""Turn a training job into its artifact with all processes of a world: rank 0 produces it, the others help to train."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.training.branch import keep_state, plant_state
from abovo.training.device import resolve_precision
from abovo.training.ending import ending
from abovo.training.engines import build_engine
from abovo.training.loop import Task, train
from abovo.training.memory import ROWS, find_rows, remembered
from abovo.training.state import State, discard_state, open_state
from abovo.training.world import World

Model = TypeVar("Model", bound=nn.Module)
# Keys of a recipe that change nothing that is kept: another value is no reason to train again.
WATCHING = ("keep_last", "tensorboard", "wandb")


def decisive(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a training job without those that decide nothing of its artifact, at any depth."""
    return {
        key: decisive(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if key not in WATCHING
    }


def produce_together(world: World, job: Job, state: Path, make: Callable[[Path | None], Made | None]) -> None:
    """Put the job's artifact in place. `make` trains: with rank 0's folder it also exports, with None it only helps.

    Whether there is anything to train, rank 0 knows and the others are told.
    """
    if not world.leads:
        if world.share():
            make(None)
        return
    begun = False

    def lead(folder: Path) -> Made:
        nonlocal begun
        begun = True
        world.share(True)
        made = make(folder)
        assert made is not None
        return made

    produce(job, lead)
    if not begun:
        world.share(False)
    discard_state(state)


def recipe_for(world: World, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A training recipe with what it left open settled: the precision, and the rows per micro-batch.

    On a GPU the latter are the ones to begin with and `find_micro_batch` is true.
    """
    settled = {**recipe, "precision": resolve_precision(recipe["precision"], world.device)}
    if recipe["micro_batch_sequences"] == "auto":
        settled |= {"micro_batch_sequences": ROWS, "find_micro_batch": world.device.type == "cuda"}
    return settled


def train_model(
    build: Callable[[], Model],
    task: Task,
    world: World,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Manifest],
    state: Path,
    folder: Path | None,
    phase: Manifest | None = None,
    to_be_continued: bool = False,
) -> tuple[Model, list[dict[str, Any]]] | None:
    """Train what `build` makes with the settings' engine; metrics and timings come into `folder`.

    Training goes on from the end of `phase`, where one is given; where it is to be continued, its own end comes into
    `folder` too. Returns the trained model and the rows of its metrics on rank 0, None elsewhere.
    """
    model = build()
    if folder is None:
        _train(model, build, task, world, settings["engine"], None)
        return None
    # not the engine: checkpoints have one form, so another number of processes may go on from them
    identity = {
        "inputs": {name: manifest.digest for name, manifest in inputs.items()},
        "settings": {key: value for key, value in decisive(settings).items() if key != "engine"},
        "precision": task.recipe["precision"],
    }
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    with open_state(state, identity, needed_bytes=12 * trained) as opened:
        if phase is not None:
            plant_state(opened, task.start, phase)
        trained_model = _train(model, build, task, world, settings["engine"], opened)
        rows = opened.rows()
        for path in opened.logs:
            (folder / path.name).write_bytes(path.read_bytes())
        if to_be_continued:
            end = ending([row for row in rows if row["step"] > task.start], task.recipe, task.steps)
            keep_state(opened, end.fields["stopped_early"]["weights_of_step"] if end.fields else end.step, folder)
    return trained_model, rows


def _train(
    model: Model,
    build: Callable[[], Model],
    task: Task,
    world: World,
    settings: Mapping[str, Any],
    state: State | None,
) -> Model:
    """Train `model` with the engine of these settings. Returns it, or on rank 0 another one that holds all weights."""
    rows = _micro_batch(build, task, world, settings, state)
    engine = build_engine(model, task.recipe, world, settings)
    engine.micro_batch = rows
    train(task, engine, world, state)
    weights = engine.weights()
    if engine.whole or not world.leads:
        return model
    # this process's model holds parts or rounded values; the weights themselves go into a new one
    whole = build()
    whole.load_state_dict(weights, strict=False)
    return whole


def _micro_batch(
    build: Callable[[], Model], task: Task, world: World, settings: Mapping[str, Any], state: State | None
) -> int:
    """Rows per micro-batch: the recipe's, or those that were found for GPUs like these, now or before a resume."""
    if not task.recipe.get("find_micro_batch"):
        return task.recipe["micro_batch_sequences"]

    def find() -> int:
        return find_rows(lambda: build_engine(build(), task.recipe, world, settings), task.batch(0), world)

    place = (torch.cuda.get_device_name(world.device), world.size, settings["strategy"])
    return remembered(state.micro_batch if state else None, place, world, find)
