"""Plan a run: parameters, tokens, steps, operations, disk and hours, from its settings alone.

python workflow/scripts/plan.py --settings '{...}' --output results/plan/nano/plan.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--settings", required=True, type=settings, help="JSON text or file: the resolved run, corpora, hardware"
    )
    parser.add_argument("--output", required=True, type=Path, help="plan.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.planning.plan import plan_run, plan_settings
    from abovo.provenance.code import Script

    plan_run(plan_settings(options.settings), options.output, Script(Path(__file__), options.settings))


if __name__ == "__main__":
    run(main, arguments())
