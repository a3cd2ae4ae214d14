"""Turn the files or the data set of a task into prepared items: the texts that every model is asked, row by row."""

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

from abovo.errors import Unreachable
from abovo.evaluation.item import Item, write_items
from abovo.evaluation.items import open_task
from abovo.provenance.code import Script
from abovo.provenance.hashing import sha256_json
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.keys import decisive
from abovo.settings.task import Task

log = logging.getLogger("abovo")
SCHEMA = "abovo/task/1"


def prepare_task(task: Task, output: Path, script: Script | Path) -> Manifest:
    """Write the items of a task. Where its data cannot be reached, the manifest says `absent` and why.

    Raises AbovoError for data that are there and are not what the task says.
    """
    name, config = task.name, decisive(task)
    try:
        opened = open_task(task)
        items = _full_names(name, list(opened.items()))
    except Unreachable as error:
        log.warning("task %s is absent: %s", name, error)
        reason = str(error)
        parameters = {"task": config, "absent": reason}
        return produce(
            Job(output, SCHEMA, {}, parameters, script), lambda _: Made({"rows": 0}, {"absent": reason, "task": name})
        )

    def make(folder: Path) -> Made:
        write_items(folder, items)
        counts = dict(Counter(item.set for item in items))  # in the order of the rows
        fields = {"task": name, "kind": task.kind, "sets": counts, "task_sha256": sha256_json(config)}
        log.info("task %s: %s rows", name, f"{len(items):,}")
        return Made({"rows": len(items)}, {**fields, "revision": opened.revision})

    parameters = {"task": config, "revision": opened.revision}
    return produce(Job(output, SCHEMA, {}, parameters, script), make)


def _full_names(task: str, items: list[Item]) -> list[Item]:
    """The items with their sets called as results call them, by the task's name alone where it is the only one; rows of
    a set stand together."""
    names = list(dict.fromkeys(item.set for item in items))
    if names == [task]:
        return items
    items.sort(key=lambda item: names.index(item.set))
    return [replace(item, set=f"{task}.{item.set}") for item in items]
