"""Turn a name into the settings of one stage: exactly the values of the configuration that can change its bytes.

Settings travel on a script's command line and enter its fingerprint, so what is in here decides what reruns when a
config file changes, and what is not in here (descriptions, other stages' values) reruns nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from abovo.config.runs import Configuration, corpora_of

Settings = dict[str, Any]


def stage_settings(configuration: Configuration, stage: str, names: Mapping[str, str]) -> Settings:
    """The settings of `stage` for the wildcards `names` of its artifact."""
    return STAGES[stage](configuration, names)


def _pick(source: Mapping[str, Any], *keys: str) -> Settings:
    return {key: source[key] for key in keys}


def _without_name(part: Mapping[str, Any]) -> Settings:
    return {key: value for key, value in part.items() if key != "name"}


def _pretrain(configuration: Configuration, names: Mapping[str, str]) -> Settings:
    run = configuration.run(names["run"])
    settings = _pick(run, "phases", "tokens", "sequence_length", "parameters", "seed", "threads")
    return settings | {part: _without_name(run[part]) for part in ("model", "training", "engine")}


def _sft(configuration: Configuration, names: Mapping[str, str]) -> Settings:
    run = configuration.run(names["run"])
    sft = _without_name(run["sft"]) | {"training": _without_name(run["sft"]["training"])}
    return _pick(run, "sequence_length", "seed", "threads") | {"sft": sft, "engine": _without_name(run["engine"])}


def _plan(configuration: Configuration, names: Mapping[str, str]) -> Settings:
    run = configuration.run(names["run"])
    return {**run, "corpora": {name: configuration.shared("corpora", name) for name in corpora_of(run)}}


STAGES: dict[str, Callable[[Configuration, Mapping[str, str]], Settings]] = {
    "plan": _plan,
    "pretrain": _pretrain,
    "sft": _sft,
}
