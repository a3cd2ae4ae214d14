"""Turn a run's resolved settings into its plan.json: what will be trained on what, and what it takes."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from abovo.config.budget import Budget, budget, times_drawn
from abovo.config.stages import STAGES
from abovo.config.tokenizers import read_tokenizer, vocabulary_of
from abovo.config.tuning import recipe_of
from abovo.console.progress import duration
from abovo.modeling.cost import (
    adapter_flops_per_token,
    count_adapter_parameters,
    count_parameters,
    training_flops_per_token,
)
from abovo.modeling.family import shape_of
from abovo.modeling.parameters import check_claim, padded_vocabulary
from abovo.planning.checkpoints import describe_checkpoints, expected_checkpoints, refuse_beyond
from abovo.planning.compute import costs, hours
from abovo.planning.disk import disk
from abovo.planning.drawn import describe_repeated, drawn, drawn_by, repeated
from abovo.planning.given import describe_given, plan_given
from abovo.planning.machines import budgets, describe_budgets, describe_memory, fits, machines_of, own_place, speeds
from abovo.planning.memory import memory, sizes_of
from abovo.provenance.code import Script
from abovo.provenance.products import Job, Made, produce
from abovo.settings.keys import build, plain
from abovo.settings.stages import GivenPlan, PlanSettings

log = logging.getLogger("abovo")
SHORT = "under a minute"


def plan_settings(values: Mapping[str, Any]) -> PlanSettings | GivenPlan:
    """The settings of a plan from JSON; those of model and tokenizer by their kinds. Raises AbovoError naming a bad
    key."""
    if "model_directory" in values.get("run", {}):
        return build(GivenPlan, values)
    settings = build(PlanSettings, values)
    model = shape_of(settings.run.model, "settings, model")
    tokenizer = read_tokenizer(settings.run.tokenizer, "settings, tokenizer")
    return replace(settings, run=replace(settings.run, model=model, tokenizer=tokenizer))


def plan_run(settings: PlanSettings | GivenPlan, output: Path, script: Script | Path) -> None:
    """Write plan.json."""
    given = isinstance(settings, GivenPlan)
    fields = plan_given(settings) if isinstance(settings, GivenPlan) else plan(settings)

    def make(folder: Path) -> Made:
        return Made(counts={}, fields=fields)

    produce(Job(output, "abovo/plan/1", {}, plain(settings), script), make)
    for line in [*describe_given(fields), *_times(fields)] if given else describe(fields):
        log.info("%s", line)


def plan(settings: PlanSettings) -> dict[str, Any]:
    """The plan as a dictionary; a pure function of the settings.

    Raises AbovoError where the run's claimed parameters are off by more than 1 %, or where no step fits.
    """
    run = settings.run
    where = f"config/runs/{run.name}.yaml"
    rows = padded_vocabulary(vocabulary_of(run.tokenizer, where))
    count = count_parameters(run.model, rows)
    check_claim(run.parameters, count.total, f"{where}, key parameters")
    steps = budget(run, where)
    sizes = sizes_of(run.model, rows, run.training)
    per_token = training_flops_per_token(run.model, rows, run.sequence_length)
    tuned = {stage: tuned_stage(settings, stage, rows) for stage in run.tunings}
    flops = per_token * steps.tokens + sum(stage["flops"] for stage in tuned.values())
    machines = machines_of(run.model.family, settings.hardware)
    spans = {name: hours(flops, machine, run.training.precision) for name, machine in machines.items()}
    phases = _phases(settings, steps, per_token)
    times = times_drawn({name: part["epochs"] or 0.0 for name, part in phase["corpora"].items()} for phase in phases)
    refuse_beyond(times, settings, where)
    job = (sizes, run.training, run.sequence_length, run.engine)
    fitting = {name: fits(*job, machine) for name, machine in settings.hardware.items()}
    known = {name: span for name, span in spans.items() if span is not None and fitting[name]["fits"]}
    return {
        "run": run.name,
        "model": {
            "name": run.parts.model,
            "family": run.model.family,
            "vocabulary_rows": rows,
            "parameters": count.total,
            "embedding_parameters": count.tables,
            "non_embedding_parameters": count.non_embedding,
        },
        "tokens": steps.tokens,
        "tokens_requested": run.tokens,
        "tokens_per_parameter": round(steps.tokens / count.total, 3),
        "steps": steps.steps,
        "tokens_per_step": steps.tokens_per_step,
        "sequence_length": run.sequence_length,
        "phases": phases,
        "repeated": repeated([*phases, *tuned.values()]),
        "checkpoints": expected_checkpoints(settings, steps),
        "cpt": tuned.get("cpt"),
        "sft": tuned.get("sft"),
        "flops": flops,
        "flops_per_token": per_token,
        "disk_bytes": disk(settings, count, steps.steps),
        "memory": memory(*job, own_place(run.training, run.engine)).as_fields(),
        "fits": fitting,
        "tokens_per_second": speeds(per_token, machines, run.training),
        "hours": known,
        "cost_usd": costs(known, machines),
        "budgets": budgets(count.total, per_token, machines, run.training),
        "overrides": dict(settings.overrides),
    }


def _phases(settings: PlanSettings, plan: Budget, flops_per_token: int) -> list[dict[str, Any]]:
    """Per phase: its model, first and last step, tokens, operations, and the tokens and epochs of each corpus."""
    run, phases, first = settings.run, [], 1
    models = [f"phase-{phase.name}/model" for phase in run.phases[:-1]] + ["model"]
    for phase, steps, model in zip(run.phases, plan.phases, models, strict=True):
        tokens, whole = steps * plan.tokens_per_step, sum(phase.corpora.values())
        shares = {name: weight / whole for name, weight in phase.corpora.items()}
        phases.append(
            {
                "name": phase.name,
                "model": f"results/pretrain/{run.name}/{model}",
                "schedule": plain(phase.schedule),
                "first_step": first,
                "last_step": first + steps - 1,
                "tokens": tokens,
                "flops": tokens * flops_per_token,
                "corpora": drawn({name: share * tokens for name, share in shares.items()}, settings.corpora),
            }
        )
        first += steps
    return phases


def tuned_stage(settings: PlanSettings, stage: str, rows: int) -> dict[str, Any]:
    """What a stage trains and takes after pretraining, and the tokens and epochs of each corpus in it."""
    run, recipe = settings.run, recipe_of(settings.run, stage)
    adapters = recipe.adapters
    if adapters is None:
        trained, flops = count_parameters(run.model, rows).total, training_flops_per_token
    else:
        trained, flops = count_adapter_parameters(run.model, adapters), adapter_flops_per_token
    return {
        "method": recipe.method,
        "tokens": recipe.tokens,
        **drawn_by(run, stage, settings.corpora),
        "trained_parameters": trained,
        "flops": flops(run.model, rows, run.sequence_length) * recipe.tokens,
    }


def describe(plan: Mapping[str, Any]) -> list[str]:
    """The plan in a few lines for a person."""
    model, space = plan["model"], plan["disk_bytes"]
    lines = [
        f"{plan['run']}: {model['family']}, {model['parameters']:,} parameters"
        f" ({model['embedding_parameters'] / model['parameters']:.0%} embeddings,"
        f" {model['non_embedding_parameters']:,} outside them)",
        f"{plan['tokens']:,} tokens = {plan['steps']:,} steps of {plan['tokens_per_step']:,}"
        f" ({plan['tokens_per_parameter']:.3g} tokens per parameter), {plan['flops']:.3g} operations in all stages",
        f"{space['total'] / 1e9:.3g} GB on the disk, {space['checkpoints'] / 1e9:.3g} of them checkpoints",
    ]
    if len(plan["phases"]) > 1:
        for phase in plan["phases"]:
            corpora = ", ".join(f"{name} {part['tokens']:,}" for name, part in phase["corpora"].items())
            lines.append(
                f"phase {phase['name']}: steps {phase['first_step']:,} to {phase['last_step']:,}, tokens of {corpora}"
            )
    lines += _described(plan) + describe_repeated(plan) + describe_checkpoints(plan["checkpoints"])
    lines += describe_memory(plan) + _times(plan) + describe_budgets(plan)
    lines += [f"override: {key} = {value}" for key, value in plan["overrides"].items()]
    return lines


def _described(plan: Mapping[str, Any]) -> list[str]:
    """How the run trains on; nothing of one that does not."""
    lines = []
    for name, stage in ((name, plan[name]) for name in ("cpt", "sft") if plan[name]):
        trains = f"{stage['tokens']:,} tokens, {stage['trained_parameters']:,} parameters train"
        text = ", ".join(f"{corpus} {part['tokens']:,}" for corpus, part in stage["text"].items())
        among = f", tokens of text: {text}" if text else ""
        lines.append(f"{STAGES[name].training} ({stage['method']}): {trains}{among}")
    return lines


def _times(plan: Mapping[str, Any]) -> list[str]:
    """Time and price, the fastest machines first; those that are told the same share a line."""
    told: dict[str, list[str]] = {}
    for name, (low, high) in sorted(plan["hours"].items(), key=lambda item: item[1]):
        words = _span(low * 3600, high * 3600)
        if name in plan["cost_usd"] and words != SHORT:
            words += ", {:.2g} to {:.2g} USD".format(*plan["cost_usd"][name])
        told.setdefault(words, []).append(name)
    return [f"training on one {' or '.join(names)}: {words}" for words, names in told.items()]


def _span(low: float, high: float) -> str:
    """Seconds between two estimates; what they leave out (start, validation, evaluation) is more than some seconds."""
    if high < 60:
        return SHORT
    return f"{duration(low) if low >= 60 else SHORT} to {duration(high)}"
