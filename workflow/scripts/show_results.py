"""Turn the evaluations of a run's models into a page with all of them side by side.

python workflow/scripts/show_results.py --titles "base model" "after fine-tuning" \\
    --evaluations results/pretrain/nano/evaluation.json results/sft/nano/evaluation.json \\
    --output results/report/nano/sft/page.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--titles", required=True, nargs="+", help="what each model is called")
    parser.add_argument("--evaluations", type=Path, required=True, nargs="+", help="evaluation.json of each, in order")
    parser.add_argument(
        "--output", type=Path, required=True, help="manifest of results.html and headline.html, to be made"
    )
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.reporting.draw import page_of_results

    page_of_results(options.titles, options.evaluations, options.output, Path(__file__))


if __name__ == "__main__":
    run(main, arguments())
