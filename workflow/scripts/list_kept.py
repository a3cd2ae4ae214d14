"""List the models that a run keeps on the way, with what each had seen and, where they are measured, its scores.

python workflow/scripts/list_kept.py --trained results/pretrain/babylm-strict-small/manifest.json \\
    --evaluations results/pretrain/babylm-strict-small/chck_1M/evaluation.json \\
    --output results/pretrain/babylm-strict-small/checkpoints.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--trained", required=True, type=Path, help="manifest of the finished model")
    parser.add_argument("--evaluations", nargs="*", default=[], type=Path, help="evaluation.json of each model")
    parser.add_argument("--output", required=True, type=Path, help="manifest of the list, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.evaluation.assemble import SCHEMA as EVALUATION
    from abovo.provenance.manifest import read_manifest
    from abovo.reporting.kept import list_kept

    evaluations = [read_manifest(path, EVALUATION) for path in options.evaluations]
    list_kept(read_manifest(options.trained, "abovo/model/"), evaluations, options.output, Path(__file__))


if __name__ == "__main__":
    run(main, arguments())
