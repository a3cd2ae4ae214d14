"""Read the rows of a task and word them: the items that every model is asked.

python workflow/scripts/prepare_task.py --settings '{"name": "piqa", "kind": "choice", ...}' \\
    --output results/tasks/piqa/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.keys import decisive
from abovo.settings.task import Task


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", required=True, type=settings_as(Task), help="the task: JSON or a file")
    parser.add_argument("--output", required=True, type=Path, help="manifest of the items, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.evaluation.prepare import prepare_task
    from abovo.provenance.code import Script

    script = Script(Path(__file__), decisive(options.settings))
    prepare_task(options.settings, options.output, script)


if __name__ == "__main__":
    run(main, arguments())
