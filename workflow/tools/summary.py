"""Print what was made for a run, its losses and metrics, and what to type next.

python workflow/tools/summary.py --run nano
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the artifacts")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.reporting.summary import print_summary

    report = options.results / "report" / f"{options.run}.html"
    print_summary(options.run, options.results, report if report.is_file() else None)


if __name__ == "__main__":
    run(main, arguments())
