"""Turn a run's engine, recipes and sizes into what a job of its asks of the machine that it is placed on.

One function says it for each kind of job that may take GPUs, a training and an evaluation. Memory is the host's: of the
programs, and of what the plan reckons a step and its checkpoint to hold there. Time is what the slowest machine of
config/hardware that could do it would take: a training that reaches its limit goes on in another job.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from abovo.config.engines import gpus
from abovo.config.jobs import JOBS
from abovo.config.runs import Configuration
from abovo.config.tokenizers import vocabulary_of
from abovo.config.tuning import recipe_of
from abovo.modeling.cost import training_flops_per_token
from abovo.modeling.layout import shapes_of
from abovo.modeling.parameters import padded_vocabulary
from abovo.planning.compute import hours
from abovo.planning.given import given_stage, tuned_sizes
from abovo.planning.machines import machines_of, own_place
from abovo.planning.memory import Sizes, memory, sizes_of
from abovo.planning.plan import tuned_stage
from abovo.settings.engine import Engine
from abovo.settings.hardware import Hardware
from abovo.settings.run import GivenRun
from abovo.settings.training import Training
from abovo.training.amounts import MOMENTS

MEGABYTE = 10**6
# What Snakemake takes that starts a job's script, and what a process with torch takes beside weights and steps: on a
# processor, or on a GPU, with its driver and compilers (MB; a training of nano on two cores took 0.73 GB)
SCHEDULED, PROGRAM, PROGRAM_ON_GPU = 500, 1_500, 4_000
SINGLE = 4
# Shortest and longest time that is asked for (minutes), and how much longer than reckoned
SHORTEST, LONGEST, SLACK = 60, 24 * 60, 1.5
# Time that an evaluation is given (minutes)
EVALUATION = 4 * 60
# Ahead of a time limit a training gets this signal, so many seconds before, to write a checkpoint and be put back
SIGNAL, AHEAD = "USR1", 120


def grown(number: int, attempt: int, most: int | None) -> int:
    """Half as much more after each failure, at most `most` where that is known, and never less than at first."""
    more = -(-number * (1 + attempt) // 2)
    return max(number, min(more, most or more))


@dataclass(frozen=True)
class Placement:
    """What a job asks for, as the resources of its rule: nodes, GPUs of them all, memory of each (MB), time (minutes).

    `signal` is what a training that goes on by itself asks of sbatch.
    """

    nodes: int
    gpus: int
    memory_mb: int
    minutes: int
    signal: str = ""

    def options(self, site: str | None = None, gpu_type: str | None = None) -> str | None:
        """What sbatch is told beyond resources that have names: what the site says, the signal ahead of a time limit,
        and GPUs of each of several nodes, which else could lie on them in any numbers.

        They are of the type that the job's GPUs are of: for SLURM those of any type are others.
        """
        words = [site, self.signal]
        if self.nodes > 1 and self.gpus:
            words.append(f"--gpus-per-node={':'.join(filter(None, (gpu_type, str(self.gpus // self.nodes))))}")
        return " ".join(filter(None, words)) or None

    def grown(self, attempt: int, most_mb: int | None = None, longest: int | None = None) -> "Placement":
        """What is asked for after `attempt` - 1 failures: half as much memory and time more for each, up to the most
        that a node has and a partition allows (None: no bound is known).

        A training that goes on by itself takes no more time than allowed, whatever it was reckoned to take.
        """
        minutes = grown(self.minutes, attempt, longest)
        if self.signal and longest:
            minutes = min(minutes, longest)
        return replace(self, memory_mb=grown(self.memory_mb, attempt, most_mb), minutes=minutes)


def training_placement(configuration: Configuration, run: str, stage: str) -> Placement:
    """Of the training of a stage, its processes on the nodes of its engine. Raises AbovoError where it is not sound."""
    found = _stages(configuration, run)[stage]
    engine, on_gpu = found.engine, own_place(found.recipe, found.engine).on_gpu
    own = engine.processes // engine.nodes
    return Placement(
        nodes=engine.nodes,
        gpus=gpus(engine),
        memory_mb=SCHEDULED + own * (PROGRAM_ON_GPU if on_gpu else PROGRAM) + _held(found),
        minutes=_minutes(found, machines_of(found.family, _hardware(configuration)), on_gpu=on_gpu),
        signal=f"--signal={SIGNAL}@{AHEAD}",
    )


def evaluation_placement(configuration: Configuration, run: str) -> Placement:
    """Of the scoring of a run's model in one process, on a GPU unless the run's engine keeps to the processor."""
    given = configuration.given(run)
    if given is not None and given.alone:
        on_gpu, shapes = True, shapes_of(Path(given.model_directory))
        parameters = sum(math.prod(shape) for shape in shapes.values())
    else:
        stages = _stages(configuration, run).values()
        on_gpu = all(own_place(stage.recipe, stage.engine).on_gpu for stage in stages)
        parameters = max(stage.sizes.parameters for stage in stages)
    # weights as they are read, and a copy of them where they are used
    weights = math.ceil(2 * SINGLE * parameters / MEGABYTE)
    program = PROGRAM_ON_GPU if on_gpu else PROGRAM
    return Placement(nodes=1, gpus=int(on_gpu), memory_mb=SCHEDULED + program + weights, minutes=EVALUATION)


@dataclass(frozen=True)
class _Stage:
    sizes: Sizes
    recipe: Training
    length: int
    engine: Engine
    flops: float
    family: str | None


def _held(stage: _Stage) -> int:
    """What steps hold in the memory of a node (MB): of weights as they are made, and of what a step takes on a
    processor."""
    place = own_place(stage.recipe, stage.engine)
    step = memory(stage.sizes, stage.recipe, stage.length, stage.engine, place)
    own = SINGLE * stage.sizes.parameters if place.on_gpu else step.total
    processes, nodes = stage.engine.processes, stage.engine.nodes
    return math.ceil((processes // nodes * own + step.on_first_of(nodes)) / MEGABYTE)


def _minutes(stage: _Stage, machines: Mapping[str, Hardware], *, on_gpu: bool) -> int:
    spans = [
        hours(stage.flops, machine, stage.recipe.precision) for machine in machines.values() if machine.on_gpu is on_gpu
    ]
    longest = max((span[1] for span in spans if span is not None), default=LONGEST / 60)
    return min(LONGEST, max(SHORTEST, math.ceil(60 * SLACK * longest)))


@functools.cache
def _plan(configuration: Configuration, run: str) -> Any:
    return JOBS["plan"](configuration, {"run": run})


@functools.cache
def _hardware(configuration: Configuration) -> dict[str, Hardware]:
    return {name: configuration.shared("hardware", name) for name in configuration.names("hardware")}


@functools.cache
def _stages(configuration: Configuration, run: str) -> dict[str, _Stage]:
    settings = _plan(configuration, run)
    own, found = settings.run, {}
    if isinstance(own, GivenRun):
        for stage in own.tunings:
            told, recipe = given_stage(own, stage, settings.shapes), recipe_of(own, stage).training
            sizes = tuned_sizes(settings, stage, told["trained_parameters"])
            found[stage] = _Stage(sizes, recipe, own.sequence_length, own.engine, told["flops"], settings.family)
        return found
    rows = padded_vocabulary(vocabulary_of(own.tokenizer, f"config/runs/{own.name}.yaml"))
    flops = training_flops_per_token(own.model, rows, own.sequence_length) * own.tokens
    sizes = sizes_of(own.model, rows, own.training)
    found["pretrain"] = _Stage(sizes, own.training, own.sequence_length, own.engine, flops, own.model.family)
    for stage in own.tunings:
        told, recipe = tuned_stage(settings, stage, rows), recipe_of(own, stage).training
        whole = sizes_of(own.model, rows, recipe)
        if (trained := told["trained_parameters"]) != whole.trained:
            whole = replace(whole, trained=trained, moments=MOMENTS[recipe.optimizer.kind] * trained)
        found[stage] = _Stage(whole, recipe, own.sequence_length, own.engine, told["flops"], own.model.family)
    return found
