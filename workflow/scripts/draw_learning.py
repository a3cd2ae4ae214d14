"""Draw what models on the way score over what they had seen, and make a page of the same figures.

python workflow/scripts/draw_learning.py --title "babylm-strict-small, learning curve" \\
    --kept results/pretrain/babylm-strict-small/checkpoints.json \\
    --output results/report/babylm-strict-small/pretrain/learning_curve.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--title", required=True, help="title of figure and page")
    parser.add_argument("--kept", required=True, type=Path, help="manifest of the list of models")
    parser.add_argument("--output", required=True, type=Path, help="manifest of figure and page, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.reporting.learning import draw_learning

    draw_learning(options.kept, options.title, options.output, Path(__file__))


if __name__ == "__main__":
    run(main, arguments())
