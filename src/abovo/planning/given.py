"""Turn the run of a given model and the heads of its weights into its plan.json: what fine-tuning trains and takes."""

from collections.abc import Mapping
from typing import Any

from abovo.config.budget import budget
from abovo.config.tuning import Tuned, sft_of
from abovo.modeling.family import Activations, Kept
from abovo.planning.compute import costs, hours
from abovo.planning.disk import CHECKPOINT_BYTES_PER_PARAMETER, MODEL_BYTES_PER_PARAMETER
from abovo.planning.machines import budgets, describe_memory, fits, own_place, speeds
from abovo.planning.memory import Sizes, memory
from abovo.settings.stages import GivenPlan
from abovo.training.amounts import MOMENTS


def plan_given(settings: GivenPlan) -> dict[str, Any]:
    """The plan as a dictionary; a pure function of the settings.

    A token takes 6 N operations, 4 N where adapters train (no products for the gradients of frozen weights), N being
    all matrices but the table that tokens are looked up in; attention scores are left out.
    """
    run, sft, shapes = settings.run, sft_of(settings.run), settings.shapes
    steps = budget(Tuned(sft.tokens, run.sequence_length, sft.training), f"config/runs/{run.name}.yaml", "sft.")
    parameters = sum(_size(shape) for shape in shapes.values())
    matrices = sum(_size(shape) for shape in shapes.values() if len(shape) == 2)
    tables = [_size(shape) for name, shape in shapes.items() if len(shape) == 2 and not _in_block(name)]
    used = matrices - (max(tables) if len(tables) > 1 else 0)
    trained = parameters if sft.adapters is None else sum(_adapter(sft.adapters, shapes))
    flops = (6 if sft.adapters is None else 4) * used * steps.tokens
    spans = {name: hours(flops, machine, sft.training.precision) for name, machine in settings.hardware.items()}
    known = {name: span for name, span in spans.items() if span is not None}
    kept = MOMENTS[sft.training.optimizer.kind] * trained
    sizes = given_sizes(shapes, trained, kept, whole_logits=settings.family == "stock")
    job = (sizes, sft.training, run.sequence_length, run.engine)
    per_token = flops / steps.tokens
    parts = {
        "checkpoints": (sft.training.keep_last + 1) * CHECKPOINT_BYTES_PER_PARAMETER * trained,
        "models": MODEL_BYTES_PER_PARAMETER * parameters,
    }
    return {
        "run": run.name,
        "model": {"name": run.model_directory, "family": settings.family, "parameters": parameters},
        "tokens": steps.tokens,
        "steps": steps.steps,
        "tokens_per_step": steps.tokens_per_step,
        "sequence_length": run.sequence_length,
        "sft": {"method": sft.method, "tokens": sft.tokens, "trained_parameters": trained, "flops": flops},
        "flops": flops,
        "disk_bytes": {**parts, "total": sum(parts.values())},
        "memory": memory(*job, own_place(sft.training, run.engine)).as_fields(),
        "fits": {name: fits(*job, machine) for name, machine in settings.hardware.items()},
        "tokens_per_second": speeds(per_token, settings.hardware, sft.training),
        "hours": known,
        "cost_usd": costs(known, settings.hardware),
        "budgets": budgets(parameters, per_token, settings.hardware, sft.training),
        "overrides": dict(settings.overrides),
    }


def describe_given(plan: Mapping[str, Any]) -> list[str]:
    """The plan in a few lines for a person."""
    model, sft = plan["model"], plan["sft"]
    return [
        f"{plan['run']}: {model['name']} ({model['family']}), {model['parameters']:,} parameters",
        f"fine-tuning ({sft['method']}): {sft['trained_parameters']:,} parameters train, {plan['tokens']:,} tokens ="
        f" {plan['steps']:,} steps of {plan['tokens_per_step']:,}, {plan['flops']:.3g} operations",
        f"{plan['disk_bytes']['total'] / 1e9:.3g} GB on the disk",
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
