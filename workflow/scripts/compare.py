"""Compare models on the rows that they were scored on: a table in Markdown, CSV and LaTeX, and a figure.

python workflow/scripts/compare.py \\
    --evaluations nano.pretrain=results/pretrain/nano/evaluation.json nano.sft=results/sft/nano/evaluation.json \\
    --output results/compare/nano.pretrain-nano.sft.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import by_name, named_path, run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--evaluations", required=True, nargs="+", type=named_path, metavar="NAME=PATH",
        help="evaluation.json of each model; the first is the one that the others are compared with",
    )  # fmt: skip
    parser.add_argument("--output", required=True, type=Path, help="manifest of the tables and the figure, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.evaluation.assemble import SCHEMA as EVALUATION
    from abovo.provenance.manifest import read_manifest
    from abovo.reporting.compare import compare_models

    named = by_name(options.evaluations, "--evaluations")
    evaluations = {name: read_manifest(path, EVALUATION) for name, path in named.items()}
    compare_models(evaluations, options.output, Path(__file__))


if __name__ == "__main__":
    run(main, arguments())
