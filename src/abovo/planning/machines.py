"""Turn a step's memory and a token's operations into what each machine of config/hardware makes of a run: whether it
fits, and why not; tokens per second; hours and price of the run's tokens and of some round numbers of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from abovo.config.engines import check_engine
from abovo.errors import AbovoError
from abovo.modeling.family import FAMILIES
from abovo.planning.compute import costs, hours, rounded
from abovo.planning.memory import Memory, Place, Sizes, memory, rows_per_step
from abovo.settings.engine import Engine
from abovo.settings.hardware import Hardware
from abovo.settings.training import Training
from abovo.training.amounts import PLANNED

# From how many parameters on a plan reckons budgets beside the run's own, and these (tokens).
LARGE = 10**9
BUDGETS = {"10B": 10 * 10**9, "50B": 50 * 10**9, "100B": 100 * 10**9}
# What spares activations, as `--config set` takes it.
RECOMPUTED = "training.activation_checkpointing=true"


def machines_of(family: str | None, machines: Mapping[str, Hardware]) -> dict[str, Hardware]:
    """Machines as a family of models uses them; one that is none of ours as a transformer."""
    share = FAMILIES[family].relative_utilization if family is not None and family in FAMILIES else 1.0
    return {name: machine.reaching(share) for name, machine in machines.items()}


def own_place(recipe: Training, engine: Engine) -> Place:
    """Where a recipe's steps run by its engine: on a GPU, of whose precisions `auto` is bf16, or on a processor."""
    on_gpu = engine.device in ("auto", "cuda")
    return Place(recipe.precision if recipe.precision != "auto" else "bf16" if on_gpu else "fp32", on_gpu)


def place_of(machine: Hardware, recipe: Training) -> Place | None:
    """Where a recipe's steps would run on a machine; None where it has no such precision."""
    precision = machine.precision(recipe.precision)
    return None if precision is None else Place(precision, machine.on_gpu)


def fits(sizes: Sizes, recipe: Training, length: int, engine: Engine, machine: Hardware) -> dict[str, Any]:
    """Whether a step fits on a device of a machine: `needed_bytes` of `usable_bytes`, nine tenths of its memory, with
    `rows_at_once`; `why_not` in words names the part that takes most, and a mend if there is one.

    `auto` rows are as many as fit. A processor holds the host's share, too.
    """
    place = place_of(machine, recipe)
    if place is None:
        return {"fits": False, "why_not": f"has no {recipe.precision}"}
    try:
        check_engine(engine, replace(recipe, precision=place.precision))
    except AbovoError as error:
        return {"fits": False, "why_not": f"{error.what} ({place.precision})"}
    usable = int(PLANNED * machine.memory_bytes)

    def needed(found: Memory) -> int:
        return found.total if place.on_gpu else engine.processes * found.total + found.on_host

    found = memory(sizes, recipe, length, engine, place)
    if place.on_gpu and engine.kind == "torch" and recipe.micro_batch_sequences == "auto":
        most = rows_per_step(recipe, length, engine)
        rows = _most(lambda rows: needed(memory(sizes, recipe, length, engine, place, rows)) <= usable, most)
        found = memory(sizes, recipe, length, engine, place, rows)
    told: dict[str, Any] = {
        "fits": needed(found) <= usable,
        "needed_bytes": needed(found),
        "usable_bytes": usable,
        "rows_at_once": found.rows_at_once,
    }
    if not told["fits"]:
        parts = dict(found.device) if found.in_step >= found.start else {"weights before the first step": found.start}
        if not place.on_gpu:
            parts |= {f"{name} of the host": size for name, size in found.host.items()}
        largest = max(parts, key=lambda name: parts[name])
        saved = found.device["activations"] - found.activations["recomputed"]
        mend = f"; {RECOMPUTED} would do" if saved and needed(found) - saved <= usable else ""
        told["why_not"] = f"needs {gigabytes(needed(found))} GB, {gigabytes(parts[largest])} of them {largest}{mend}"
    return told


def _most(good: Callable[[int], bool], most: int) -> int:
    """The largest number from 1 to `most` that is good, as all below it are; 1 where none is."""
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if good(middle) else (low, middle - 1)
    return low


def speeds(flops_per_token: float, machines: Mapping[str, Hardware], recipe: Training) -> dict[str, list[float]]:
    """Lowest and highest tokens per second that are expected, of all devices of a machine together."""
    found = {}
    for name, machine in machines.items():
        if (peak := machine.peak(recipe.precision)) is not None:
            found[name] = [rounded(peak * share / flops_per_token) for share in sorted(machine.utilization)]
    return found


def budgets(
    parameters: int, flops_per_token: float, machines: Mapping[str, Hardware], recipe: Training
) -> dict[str, dict[str, Any]]:
    """Hours and price of round numbers of tokens, for models that are trained on so many."""
    found = {}
    for name, tokens in BUDGETS.items() if parameters >= LARGE else ():
        spans = {
            machine: span
            for machine, settings in machines.items()
            if (span := hours(flops_per_token * tokens, settings, recipe.precision)) is not None
        }
        found[name] = {"tokens": tokens, "hours": spans, "cost_usd": costs(spans, machines)}
    return found


def describe_memory(plan: Mapping[str, Any]) -> list[str]:
    """The memory of a step by part, and where it fits."""
    told, length = plan["memory"], plan["sequence_length"]
    rows, device, host = told["rows_at_once"], told["device_bytes"], told["host_bytes"]
    kept, less = (gigabytes(told["activations_bytes"][name]) for name in ("kept", "recomputed"))
    lines = [
        f"memory of a device, {rows} row{'s' * (rows != 1)} of {length:,} at once in {told['precision']}:"
        f" {gigabytes(device['total'])} GB ({_parts(device)}), {gigabytes(told['start_bytes'])} before the first step;"
        f" activations {kept} kept, {less} computed again",
        f"memory of the host beside programs: {gigabytes(host['total'])} GB ({_parts(host)})",
    ]
    good = [name for name, one in plan["fits"].items() if one["fits"]]
    reasons: dict[str, list[str]] = {}
    for name, one in plan["fits"].items():
        if not one["fits"]:
            usable = f" ({gigabytes(one['usable_bytes'])} GB)" if "usable_bytes" in one else ""
            reasons.setdefault(one["why_not"], []).append(f"{name}{usable}")
    lines.append(f"fits on {', '.join(good) or 'none of the machines'}")
    return lines + [f"does not fit on {', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _parts(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {gigabytes(size)}" for name, size in sizes.items() if size and name != "total")


def describe_budgets(plan: Mapping[str, Any]) -> list[str]:
    """Speed, hours and price of round numbers of tokens, on machines that have a price and on which a step fits."""
    if not plan["budgets"]:
        return []
    lines = []
    for name, (slow, fast) in plan["tokens_per_second"].items():
        if not plan["fits"][name]["fits"] or name not in plan["cost_usd"]:
            continue
        told = []
        for budget, found in plan["budgets"].items():
            spans = (*found["hours"][name], *found["cost_usd"][name])
            told.append("{} {:,.0f} to {:,.0f} h, {:,.0f} to {:,.0f} USD".format(budget, *spans))
        lines.append(f"{name}: {slow:,.0f} to {fast:,.0f} tokens/s; {'; '.join(told)}")
    return lines


def gigabytes(size: float) -> str:
    """In units of 10^9 bytes, to three digits."""
    return f"{size / 1e9:.3g}"
