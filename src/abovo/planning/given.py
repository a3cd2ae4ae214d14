"""Turn the run of a given model and the heads of its weights into its plan.json: what its stages train and take."""

from collections.abc import Mapping
from typing import Any

from abovo.config.budget import budget
from abovo.config.stages import STAGES
from abovo.config.tuning import Tuned, recipe_of
from abovo.modeling.family import Activations, Kept
from abovo.planning.compute import costs, hours
from abovo.planning.disk import CHECKPOINT_BYTES_PER_PARAMETER, MODEL_BYTES_PER_PARAMETER
from abovo.planning.drawn import describe_repeated, drawn_by, repeated
from abovo.planning.machines import budgets, describe_memory, fits, machines_of, own_place, speeds
from abovo.planning.memory import Sizes, memory
from abovo.settings.hardware import Hardware
from abovo.settings.run import GivenRun
from abovo.settings.stages import GivenPlan
from abovo.training.amounts import MOMENTS


def plan_given(settings: GivenPlan) -> dict[str, Any]:
    """The plan as a dictionary; a pure function of the settings.

    A token takes 6 N operations, 4 N where adapters train (no products for the gradients of frozen weights), N being
    all matrices but the table that tokens are looked up in; attention scores are left out.
    """
    run, shapes = settings.run, settings.shapes
    parameters = sum(_size(shape) for shape in shapes.values())
    stages = {stage: given_stage(run, stage, shapes) | drawn_by(run, stage, settings.corpora) for stage in run.tunings}
    machines = machines_of(settings.family, settings.hardware)
    spans = {name: _hours(run, stages, machine) for name, machine in machines.items()}
    kept = [(run.tunings[name].training.keep_last + 1) * stage["trained_parameters"] for name, stage in stages.items()]
    parts = {
        "checkpoints": CHECKPOINT_BYTES_PER_PARAMETER * sum(kept),
        "models": MODEL_BYTES_PER_PARAMETER * parameters * len(stages),
    }
    jobs = {}
    for name, stage in stages.items():
        training, sizes = run.tunings[name].training, tuned_sizes(settings, name, stage["trained_parameters"])
        jobs[name] = (sizes, training, run.sequence_length, run.engine)
    heaviest = max(jobs, key=lambda name: memory(*jobs[name], own_place(jobs[name][1], run.engine)).total)
    job, training = jobs[heaviest], run.tunings[heaviest].training
    per_token = stages[heaviest]["flops"] / stages[heaviest]["tokens"]
    fitting = {name: fits(*job, machine) for name, machine in settings.hardware.items()}
    known = {name: span for name, span in spans.items() if span is not None and fitting[name]["fits"]}
    return {
        "run": run.name,
        "model": {"name": run.model_directory, "family": settings.family, "parameters": parameters},
        **{name: sum(stage[name] for stage in stages.values()) for name in ("tokens", "steps", "flops")},
        "sequence_length": run.sequence_length,
        **stages,
        "repeated": repeated(stages.values()),
        "disk_bytes": {**parts, "total": sum(parts.values())},
        "memory": memory(*job, own_place(training, run.engine)).as_fields(),
        "fits": fitting,
        "tokens_per_second": speeds(per_token, machines, training),
        "hours": known,
        "cost_usd": costs(known, machines),
        "budgets": budgets(parameters, per_token, machines, training),
        "overrides": dict(settings.overrides),
    }


def tuned_sizes(settings: GivenPlan, stage: str, trained: int) -> Sizes:
    """The sizes of the training of a stage that has so many trained parameters."""
    moments = MOMENTS[recipe_of(settings.run, stage).training.optimizer.kind] * trained
    return given_sizes(settings.shapes, trained, moments, whole_logits=settings.family == "stock")


def given_stage(run: GivenRun, stage: str, shapes: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage trains and takes."""
    recipe = recipe_of(run, stage)
    tuned = Tuned(stage, recipe.tokens, run.sequence_length, recipe.training)
    steps = budget(tuned, f"config/runs/{run.name}.yaml", f"{stage}.")
    matrices = sum(_size(shape) for shape in shapes.values() if len(shape) == 2)
    tables = [_size(shape) for name, shape in shapes.items() if len(shape) == 2 and not _in_block(name)]
    used = matrices - (max(tables) if len(tables) > 1 else 0)
    trained, per_parameter = sum(map(_size, shapes.values())), 6
    if recipe.adapters is not None:
        trained, per_parameter = sum(_adapter(recipe.adapters, shapes)), 4
    return {
        "method": recipe.method,
        "tokens": steps.tokens,
        "steps": steps.steps,
        "tokens_per_step": steps.tokens_per_step,
        "trained_parameters": trained,
        "flops": per_parameter * used * steps.tokens,
    }


def _hours(run: GivenRun, stages: Mapping[str, Any], machine: Hardware) -> list[float] | None:
    """Shortest and longest time of all stages (hours); None on a machine that lacks the precision of one."""
    spans = [hours(stage["flops"], machine, recipe_of(run, name).training.precision) for name, stage in stages.items()]
    known = [span for span in spans if span is not None]
    return [sum(ends) for ends in zip(*known, strict=True)] if len(known) == len(spans) else None


def describe_given(plan: Mapping[str, Any]) -> list[str]:
    """The plan in a few lines for a person."""
    model = plan["model"]
    stages = {name: plan[name] for name in STAGES if name in plan}
    return [
        f"{plan['run']}: {model['name']} ({model['family']}), {model['parameters']:,} parameters",
        *(
            f"{STAGES[name].training} ({stage['method']}): {stage['trained_parameters']:,} parameters train,"
            f" {stage['tokens']:,} tokens = {stage['steps']:,} steps of {stage['tokens_per_step']:,},"
            f" {stage['flops']:.3g} operations"
            for name, stage in stages.items()
        ),
        f"{plan['disk_bytes']['total'] / 1e9:.3g} GB on the disk",
        *describe_repeated(plan),
        *describe_memory(plan),
    ]


def given_sizes(shapes: Mapping[str, Any], trained: int, moments: int, *, whole_logits: bool) -> Sizes:
    """A model by the sides of its weights alone: of each matrix in a block what goes in and comes out is kept, with
    the inputs of two norms and, where nothing is compiled, what an activation makes; the largest table has a row for
    each piece."""
    tables = {name: shape for name, shape in shapes.items() if len(shape) == 2 and not _in_block(name)}
    matrices = [shape for name, shape in shapes.items() if len(shape) == 2 and _in_block(name)]
    largest = max(tables.values(), key=_size, default=(1, 1))
    vocabulary, width = max(largest), min(largest)
    blocks = len({_number(name) for name in shapes if _in_block(name)}) or 1
    products = sum(map(sum, matrices)) / blocks
    written = Kept(products + max((max(shape) for shape in matrices), default=0), 2 * width)
    return Sizes(
        parameters=sum(map(_size, shapes.values())),
        trained=trained,
        moments=moments,
        tables=sum(map(_size, tables.values())),
        vocabulary=vocabulary,
        activations=Activations(blocks, width, written, written, Kept(products, 2 * width)),
        whole_logits=whole_logits,
    )


def _number(name: str) -> str:
    """Which block a weight is of: the first number in its name."""
    return next(part for part in name.split(".") if part.isdigit())


def _size(shape: Any) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _in_block(name: str) -> bool:
    """Whether a weight is one of a block, which have numbers."""
    return any(part.isdigit() for part in name.split("."))


def _adapter(adapters: Any, shapes: Mapping[str, Any]) -> Any:
    """Parameters of the adapter on each matrix of the blocks that the targets mean; a matrix has a row per output, but
    in GPT-2, where DoRA's lengths are told with its inputs in their place."""
    targets = (adapters.targets,) if isinstance(adapters.targets, str) else adapters.targets
    for name, shape in shapes.items():
        words = name.removesuffix(".weight").split(".")
        part = "attention" if "att" in name.lower() else "feed_forward"
        known = {"all", part, words[-1], ".".join(words[-2:])}
        if len(shape) == 2 and _in_block(name) and known & set(targets):
            yield adapters.rank * sum(shape) + (shape[0] if adapters.method == "dora" else 0)
