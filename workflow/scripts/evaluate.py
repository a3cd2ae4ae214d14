"""Evaluate a model on the validation sets of its corpora and on public tasks.

python workflow/scripts/evaluate.py --settings '{"tasks": [], "batch_size": 16, ...}' \\
    --model results/pretrain/nano/manifest.json --sets nano=results/evaluation/nano/facts/manifest.json \\
    --packed nano=results/packed/nano/nano-4k/256/manifest.json --output results/pretrain/nano/evaluation.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import named_path, run, script_parser, settings_as
from abovo.settings.keys import decisive
from abovo.settings.stages import EvaluationSettings


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--settings", required=True, type=settings_as(EvaluationSettings), help="what is measured: JSON or a file"
    )
    parser.add_argument("--model", required=True, type=Path, help="manifest of the model")
    parser.add_argument("--sets", required=True, nargs="+", type=named_path, help="CORPUS=manifest of its sets")
    parser.add_argument("--packed", required=True, nargs="+", type=named_path, help="CORPUS=manifest of its rows")
    parser.add_argument("--output", required=True, type=Path, help="evaluation.json, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.evaluation.evaluate import evaluate_model
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest

    model = read_manifest(options.model, "abovo/model/")
    sets = {name: read_manifest(path, "abovo/evaluation_set/") for name, path in options.sets}
    packed = {name: read_manifest(path, "abovo/packed/") for name, path in options.packed}
    evaluate_model(
        model, sets, packed, options.settings, options.output, Script(Path(__file__), decisive(options.settings))
    )


if __name__ == "__main__":
    run(main, arguments())
