"""Turn a run's resolved settings into its plan.json: what will be trained on what, and what it takes."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from abovo.config.budget import budget
from abovo.console.progress import duration
from abovo.modeling.cost import (
    adapter_flops_per_token,
    count_adapter_parameters,
    count_parameters,
    training_flops_per_token,
)
from abovo.modeling.family import shape_of
from abovo.modeling.parameters import check_claim, padded_vocabulary
from abovo.planning.compute import hours
from abovo.planning.disk import corpus_tokens, disk
from abovo.provenance.code import Script
from abovo.provenance.products import Job, Made, produce
from abovo.settings.model import Model

log = logging.getLogger("abovo")


def plan_run(settings: Mapping[str, Any], output: Path, script: Script | Path) -> None:
    """Write plan.json for `settings`: a resolved run with its `corpora`, the known `hardware` and the `overrides`."""
    fields = plan(settings)

    def make(folder: Path) -> Made:
        return Made(counts={}, fields=fields)

    produce(Job(output, "abovo/plan/1", {}, settings, script), make)
    for line in describe(fields):
        log.info("%s", line)


def plan(run: Mapping[str, Any]) -> dict[str, Any]:
    """The plan as a dictionary; a pure function of the run's settings.

    Raises AbovoError where the run's claimed parameters are off by more than 1 %, or where no step fits.
    """
    rows = padded_vocabulary(run["tokenizer"]["vocabulary_size"])
    model = shape_of({key: value for key, value in run["model"].items() if key != "name"})
    count = count_parameters(model, rows)
    check_claim(run.get("parameters"), count.total, f"config/runs/{run['name']}.yaml, key parameters")
    steps = budget(run)
    per_token = training_flops_per_token(model, rows, run["sequence_length"])
    pretraining = per_token * steps.tokens
    sft = _sft(run, model, rows)
    flops = pretraining + (sft["flops"] if sft else 0)
    return {
        "run": run["name"],
        "model": {
            "name": run["model"].get("name"),
            "family": run["model"]["family"],
            "vocabulary_rows": rows,
            "parameters": count.total,
            "embedding_parameters": count.tables,
            "non_embedding_parameters": count.non_embedding,
        },
        "tokens": steps.tokens,
        "tokens_requested": run["tokens"],
        "tokens_per_parameter": round(steps.tokens / count.total, 3),
        "steps": steps.steps,
        "tokens_per_step": steps.tokens_per_step,
        "sequence_length": run["sequence_length"],
        "phases": _phases(run, steps.phases, steps.tokens_per_step, per_token),
        "sft": sft,
        "flops": flops,
        "flops_per_token": per_token,
        "disk_bytes": disk(run, run["corpora"], count, steps.steps),
        "hours": {name: hours(flops, machine) for name, machine in run.get("hardware", {}).items()},
        "overrides": run.get("overrides", {}),
    }


def _phases(
    run: Mapping[str, Any], lengths: tuple[int, ...], tokens_per_step: int, flops_per_token: int
) -> list[dict[str, Any]]:
    """Per phase: its model, first and last step, tokens, operations, and the tokens and epochs of each corpus."""
    phases, first = [], 1
    models = [f"phase-{phase['name']}/model" for phase in run["phases"][:-1]] + ["model"]
    for phase, steps, model in zip(run["phases"], lengths, models, strict=True):
        tokens, weights = steps * tokens_per_step, phase["corpora"]
        shares = {name: weight / sum(weights.values()) for name, weight in weights.items()}
        phases.append(
            {
                "name": phase["name"],
                "model": f"results/pretrain/{run['name']}/{model}",
                "schedule": phase.get("schedule"),
                "first_step": first,
                "last_step": first + steps - 1,
                "tokens": tokens,
                "flops": tokens * flops_per_token,
                "corpora": {
                    name: _drawn(round(share * tokens), run["corpora"][name]) for name, share in shares.items()
                },
            }
        )
        first += steps
    return phases


def _drawn(tokens: int, corpus: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens that a phase draws from a corpus, and how often it then goes through it (null: no token budget)."""
    available = corpus_tokens(corpus)
    return {"tokens": tokens, "epochs": round(tokens / available, 3) if available else None}


def _sft(run: Mapping[str, Any], model: Model, rows: int) -> dict[str, Any] | None:
    recipe = run.get("sft")
    if not recipe:
        return None
    per_token = adapter_flops_per_token(model, rows, run["sequence_length"])
    return {
        "tokens": recipe["tokens"],
        "adapter_parameters": count_adapter_parameters(model, recipe["lora"]["rank"]),
        "flops": per_token * recipe["tokens"],
    }


def describe(plan: Mapping[str, Any]) -> list[str]:
    """The plan in a few lines for a person."""
    model, space = plan["model"], plan["disk_bytes"]
    lines = [
        f"{plan['run']}: {model['family']}, {model['parameters']:,} parameters"
        f" ({model['embedding_parameters'] / model['parameters']:.0%} embeddings,"
        f" {model['non_embedding_parameters']:,} outside them)",
        f"{plan['tokens']:,} tokens = {plan['steps']:,} steps of {plan['tokens_per_step']:,}"
        f" ({plan['tokens_per_parameter']:.3g} tokens per parameter), {plan['flops']:.3g} operations with SFT",
        f"{space['total'] / 1e9:.3g} GB on the disk, {space['checkpoints'] / 1e9:.3g} of them checkpoints",
    ]
    if len(plan["phases"]) > 1:
        for phase in plan["phases"]:
            drawn = ", ".join(f"{name} {part['tokens']:,}" for name, part in phase["corpora"].items())
            lines.append(
                f"phase {phase['name']}: steps {phase['first_step']:,} to {phase['last_step']:,}, tokens of {drawn}"
            )
    for name, (low, high) in plan["hours"].items():
        lines.append(f"training on {name}: {duration(low * 3600)} to {duration(high * 3600)}")
    lines += [f"override: {key} = {value}" for key, value in plan["overrides"].items()]
    return lines
