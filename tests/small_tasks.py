"""Tasks on rows that a test wrote, for tests of items."""

import json
from dataclasses import replace
from pathlib import Path

from abovo.config.runs import Configuration
from abovo.settings.task import TaskSource

CONFIG = Path(__file__).resolve().parent.parent / "config"


def task_on(path, rows, name, **changes):
    """A shipped task that reads these rows from a file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = Configuration(CONFIG).task(name)
    return replace(task, source=TaskSource(type="local", paths=str(path)), sets=(), **changes)
