"""Turn the name of a job into its settings: exactly the values of the configuration that can change its bytes.

Settings travel on a script's command line and enter its fingerprint, so what is in here decides what reruns when a
config file changes, and what is not in here (descriptions, other jobs' values) reruns nothing.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from abovo.config.budget import budget
from abovo.config.runs import Configuration, corpora_of, phases_up_to
from abovo.config.stages import STAGES, phase_of

Settings = dict[str, Any]


def job_settings(configuration: Configuration, job: str, names: Mapping[str, str]) -> Settings:
    """The settings of `job` for the wildcards `names` of its artifact."""
    return JOBS[job](configuration, names)


def _pick(source: Mapping[str, Any], *keys: str) -> Settings:
    return {key: source[key] for key in keys}


def _without_name(part: Mapping[str, Any]) -> Settings:
    return {key: value for key, value in part.items() if key != "name"}


def _pretrain(configuration: Configuration, names: Mapping[str, str]) -> Settings:
    """Of a phase with an artifact of its own, nothing that comes after it."""
    run = configuration.run(names["run"])
    settings = _pick(run, "tokens", "sequence_length", "parameters", "seed", "threads")
    settings["phases"] = [
        {"name": phase["name"], "sets": phase["corpora"], "share": phase["share"], "schedule": phase.get("schedule")}
        for phase in phases_up_to(run, phase_of(names))
    ]
    return settings | {part: _without_name(run[part]) for part in ("model", "training", "engine")}


def _sft(configuration: Configuration, names: Mapping[str, str]) -> Settings:
    """One phase over the recipe's sets, adapters on the base model."""
    run = configuration.run(names["run"])
    sft = run["sft"]
    settings = _pick(run, "sequence_length", "seed", "threads") | {"tokens": sft["tokens"], "chat": True}
    settings |= {"phases": [{"name": "sft", "sets": sft["datasets"], "share": 1.0}], "adapters": sft["lora"]}
    return settings | {"training": _without_name(sft["training"]), "engine": _without_name(run["engine"])}


def _plan(configuration: Configuration, names: Mapping[str, str]) -> Settings:
    run = configuration.run(names["run"])
    hardware = {name: configuration.shared("hardware", name) for name in configuration.names("hardware")}
    corpora = {name: configuration.shared("corpora", name) for name in corpora_of(run)}
    return {**run, "corpora": corpora, "hardware": hardware, "overrides": configuration.overridden(names["run"])}


def _shared(kind: str, wildcard: str) -> Callable[[Configuration, Mapping[str, str]], Settings]:
    """All of a named part but its description."""

    def settings(configuration: Configuration, names: Mapping[str, str]) -> Settings:
        part = configuration.shared(kind, names[wildcard])
        return {key: value for key, value in part.items() if key != "description"}

    return settings


def _evaluation_sets(configuration: Configuration, names: Mapping[str, str]) -> Settings:
    evaluation = configuration.shared("evaluation", names["evaluation"])
    return _pick(evaluation, "validation_bytes", "facts", "facts_per_document", "yesno_rows", "choice_rows")


def _evaluation(configuration: Configuration, names: Mapping[str, str]) -> Settings:
    run = configuration.run(names["run"])
    measures = _pick(run["evaluation"], "tasks", "batch_size", "prompts", "new_tokens", "bootstrap_draws")
    return measures | _pick(run, "seed", "threads")


def _results(configuration: Configuration, names: Mapping[str, str]) -> Settings:
    run = configuration.run(names["run"])
    return _pick(run["evaluation"], "bootstrap_draws") | _pick(run, "seed")


def _draw_loss(configuration: Configuration, names: Mapping[str, str]) -> Settings:
    run = configuration.run(names["run"])
    settings: Settings = {"vocabulary_size": run["tokenizer"]["vocabulary_size"]}
    if STAGES[names["stage"]].phases:
        phases = phases_up_to(run, phase_of(names))
        ends = itertools.accumulate(budget({**run, "phases": phases}).phases)
        settings["phases"] = {phase["name"]: end for phase, end in zip(phases, ends, strict=True)}
    return settings


def _decontamination(configuration: Configuration, names: Mapping[str, str]) -> Settings:
    return _pick(
        configuration.shared("decontamination", names["decontamination"]),
        "ngram",
        "least_ngrams",
        "least_share",
        "sets",
    )


JOBS: dict[str, Callable[[Configuration, Mapping[str, str]], Settings]] = {
    "plan": _plan,
    "corpus": _shared("corpora", "corpus"),
    "decontamination": _decontamination,
    "tokenizer": _shared("tokenizers", "tokenizer"),
    "pretrain": _pretrain,
    "instruction": _shared("instruction", "dataset"),
    "sft": _sft,
    "evaluation_sets": _evaluation_sets,
    "evaluation": _evaluation,
    "results": _results,
    "draw_loss": _draw_loss,
}
