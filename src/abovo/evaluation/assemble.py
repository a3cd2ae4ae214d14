"""Turn the scored tasks of a model into evaluation.json: each metric with n, interval, baselines and protocol."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.evaluation.contamination import clean_metrics, contamination, corpus_of, put_beside, shared_rows
from abovo.evaluation.evidence import PROMPTS, read_evidence
from abovo.evaluation.metrics import Metrics, mean_metrics, set_metrics, set_scores
from abovo.evaluation.statistics import Scores
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce

log = logging.getLogger("abovo")
SCHEMA = "abovo/evaluation/2"
OF_MODEL = ("model_sha256", "tokenizer_sha256")


def assemble_evaluation(
    tasks: Sequence[Manifest], overlaps: Sequence[Manifest], output: Path, script: Script | Path
) -> Manifest:
    """Put together what a model was scored on; absent tasks stand beside the metrics with their reasons.

    `overlaps` say which rows of the tasks the model's corpora share; scores on the others stand beside those on all.

    Raises AbovoError where the tasks are not those of one model.
    """
    check_tasks(tasks)

    def make(_: Path) -> Made:
        metrics: Metrics = {}
        for task in tasks:
            found = task_metrics(task, shared_rows(overlaps, task["task"]))
            if twice := sorted(metrics.keys() & found.keys()):
                what = f"{twice[0]} is a metric of another task too"
                raise AbovoError(what, task.path, "give the task another name")
            metrics |= found
        generations = [row for task in tasks for row in _written(task)]
        fields = {
            **{key: tasks[0][key] for key in OF_MODEL},
            "metrics": metrics,
            "absent": {task["task"]: task["absent"] for task in tasks if "absent" in task.data},
            "cut": {name: one["cut"] for task in tasks for name, one in task["sets"].items() if one["cut"]["rows"]},
            "contamination": contamination(overlaps, [task["task"] for task in tasks]),
            "not_evaluated": _not_evaluated(tasks),
            "generations": [
                {key: value for key, value in row.items() if key not in ("set", "id", "cut")} for row in generations
            ],
            "smoke": next((one["smoke"] for task in tasks for one in task["sets"].values() if "smoke" in one), None),
        }
        for name, reason in fields["absent"].items():
            log.warning("task %s is absent: %s", name, reason)
        return Made({"metrics": len(metrics), "generations": len(generations)}, fields)

    inputs = {f"task/{task['task']}": task for task in tasks}
    inputs |= {f"overlap/{corpus_of(one)}": one for one in overlaps}
    return produce(Job(output, SCHEMA, inputs, {}, script), make)


def task_metrics(task: Manifest, shared: set[str]) -> Metrics:
    """NAME.METRIC -> its entry, for each set of a task and, where there are several of one kind, for their mean.

    Beside a value on all rows stands that on the rows that no corpus shares, where some are `shared`.
    """
    evidence = read_evidence(task)
    sets = {name: one for name, one in task["sets"].items() if one["kind"] != PROMPTS}
    metrics = _named(task["task"], {name: set_metrics(one["kind"], evidence[name], one) for name, one in sets.items()})
    if shared:
        put_beside(metrics, _named(task["task"], clean_metrics(task["task"], sets, evidence, shared)))
    return metrics


def _named(task: str, sets: Mapping[str, Metrics]) -> Metrics:
    """The metrics of all sets by their full names, and those of their mean where a task has several of its own."""
    metrics = {f"{name}.{key}": value for name, part in sets.items() for key, value in part.items()}
    if len(sets) > 1 and all(name.startswith(f"{task}.") for name in sets):
        metrics |= {f"{task}.{key}": value for key, value in mean_metrics(sets).items()}
    return metrics


def scores_by_metric(task: Manifest) -> dict[str, Scores]:
    """NAME.METRIC -> what each row of a set adds to it, from the evidence of a task."""
    evidence = {name: rows for name, rows in read_evidence(task).items() if task["sets"][name]["kind"] != PROMPTS}
    return {f"{name}.{key}": one for name, rows in evidence.items() for key, one in set_scores(rows).items()}


def check_tasks(tasks: Sequence[Manifest]) -> None:
    """Fail unless all tasks were scored on one model, each once."""
    first = tasks[0]
    for task in tasks:
        if any(task[key] != first[key] for key in OF_MODEL):
            what = f"was scored on another model than {first.path}"
            raise AbovoError(what, task.path, f"remove {task.path} and evaluate again")
    names = [task["task"] for task in tasks]
    if len(set(names)) < len(names):
        raise AbovoError("one task is given twice", first.path, "name each once")


def _written(task: Manifest) -> Sequence[Mapping[str, Any]]:
    names = [name for name, one in task["sets"].items() if one["kind"] == PROMPTS]
    return read_evidence(task)[names[0]] if names else ()


def _not_evaluated(tasks: Sequence[Manifest]) -> dict[str, Any]:
    sets = (one for task in tasks for one in task["sets"].values())
    return {one["corpus"]: one["not_evaluated"] for one in sets if one.get("not_evaluated")}
