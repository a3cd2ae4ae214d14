"""Score a model on a task of lm-eval's own, or on all tasks of one of its groups."""

import importlib.metadata
import logging
from collections.abc import Iterator
from typing import Any

from abovo.errors import Unreachable
from abovo.evaluation.bench import Bench, Given
from abovo.evaluation.evidence import ScoredSet
from abovo.evaluation.harness import HarnessSet, score_harness

log = logging.getLogger("abovo")


def score_public(bench: Bench, _: Given) -> Iterator[ScoredSet]:
    """One set for each of the tasks. Raises Unreachable where their data cannot be had."""
    task = bench.settings.task
    found = score_harness(bench.scorer, task)
    if found.absent is not None:
        raise Unreachable(found.absent, f"task {task}", "connect to the network, or fetch its data once")
    for one in found.sets:
        if one.left_out:
            log.warning("%s: no row adds up to %s, which stays out", one.name, ", ".join(one.left_out))
        name = task if one.name == task else f"{task}.{one.name}"
        rows = [{**row, "set": name} for row in one.rows]
        yield ScoredSet(name, one.kind, rows, bench.protocol(**_how(one)), {"vocabulary": bench.vocabulary})


def _how(one: HarnessSet) -> dict[str, Any]:
    shots = f"{one.shots} examples before each" if one.shots else "zero-shot"
    return {
        "how": f"as lm_eval {importlib.metadata.version('lm_eval')} defines the task, {shots}, on all of its rows",
        "task": one.name,
        "task_version": one.version,
        "task_sha256": one.sha256,
        "data": dict(one.dataset),
        "shots": one.shots,
    }
