"""Turn the evaluation of a base model, and of the same after fine-tuning, into a page with both side by side.

python workflow/scripts/show_results.py \
    --evaluations results/pretrain/nano/evaluation.json results/sft/nano/evaluation.json \
    --output results/report/nano/sft/results.html
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--evaluations", type=Path, required=True, nargs="+", help="evaluation of the base model, then of the tuned one"
    )
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.reporting.draw import page_of_results

    page_of_results(options.evaluations, options.output)


if __name__ == "__main__":
    run(main, arguments())
