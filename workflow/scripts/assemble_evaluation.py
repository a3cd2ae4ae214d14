"""Put together what a model was scored on: evaluation.json with every metric's interval, baselines and protocol.

python workflow/scripts/assemble_evaluation.py \\
    --tasks results/pretrain/nano/evaluation/held_out.json results/pretrain/nano/evaluation/piqa.json \\
    --output results/pretrain/nano/evaluation.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--tasks", required=True, nargs="+", type=Path, help="manifests of the scored tasks")
    parser.add_argument(
        "--overlaps", nargs="*", default=[], type=Path, help="what the model's corpora share with the rows of the tasks"
    )
    parser.add_argument("--output", required=True, type=Path, help="evaluation.json, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.evaluation.assemble import assemble_evaluation
    from abovo.provenance.manifest import read_manifest

    tasks = [read_manifest(path, "abovo/evaluation_task/") for path in options.tasks]
    overlaps = [read_manifest(path, "abovo/overlap/") for path in options.overlaps]
    assemble_evaluation(tasks, overlaps, options.output, Path(__file__))


if __name__ == "__main__":
    run(main, arguments())
