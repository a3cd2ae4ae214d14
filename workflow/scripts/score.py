"""Score a model on one task: a line of evidence for each row, and a manifest that says how.

python workflow/scripts/score.py --settings '{"task": "piqa", "kind": "items"}' \\
    --model results/pretrain/nano/manifest.json --items results/tasks/piqa/manifest.json \\
    --output results/pretrain/nano/evaluation/piqa.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import named_path, run, script_parser, settings_as
from abovo.settings.keys import decisive
from abovo.settings.stages import TaskJob


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", required=True, type=settings_as(TaskJob), help="the task: JSON or a file")
    parser.add_argument("--model", required=True, type=Path, help="manifest of the model")
    parser.add_argument("--items", type=Path, help="manifest of the task's items")
    parser.add_argument("--sets", nargs="*", default=[], type=named_path, help="CORPUS=manifest of its sets")
    parser.add_argument("--packed", nargs="*", default=[], type=named_path, help="CORPUS=manifest of its rows")
    parser.add_argument("--conversations", nargs="*", default=[], type=named_path, help="NAME=instruction set")
    parser.add_argument("--output", required=True, type=Path, help="manifest of the scored task, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.evaluation.bench import Given
    from abovo.evaluation.evaluate import evaluate_task
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest

    given = Given(
        read_manifest(options.items, "abovo/task/") if options.items else None,
        {name: read_manifest(path, "abovo/evaluation_set/") for name, path in options.sets},
        {name: read_manifest(path, "abovo/packed/") for name, path in options.packed},
        {name: read_manifest(path, "abovo/instruction/") for name, path in options.conversations},
    )
    model = read_manifest(options.model, "abovo/model/")
    script = Script(Path(__file__), decisive(options.settings))
    evaluate_task(model, given, options.settings, options.output, script)


if __name__ == "__main__":
    run(main, arguments())
