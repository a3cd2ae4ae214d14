"""Put together what a run reached: results.json with every metric's interval, baseline and protocol.

    python workflow/scripts/assemble_results.py --run nano \\
        --settings '{"bootstrap_draws": 2000, "seed": 42}' \\
        --models pretrain=results/pretrain/nano/manifest.json sft=results/sft/nano/manifest.json \\
        --evaluations results/pretrain/nano/evaluation.json results/sft/nano/evaluation.json \\
        --figures results/report/nano/sft/loss.svg --output results/sft/nano/results.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import named_path, run, script_parser, settings


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--settings", required=True, type=settings, help="draws and seed of the bootstrap (JSON)")
    parser.add_argument(
        "--models", required=True, nargs="+", type=named_path, metavar="STAGE=PATH",
        help="manifest of each stage's model; the results are about the last one, the others are those it came from",
    )  # fmt: skip
    parser.add_argument(
        "--evaluations", required=True, nargs="+", type=Path, help="evaluation.json of each model, in the same order"
    )
    parser.add_argument("--figures", nargs="*", default=[], type=Path, help="figures and pages of the report")
    parser.add_argument("--config", default=Path("config"), type=Path, help="folder that holds schemas/")
    parser.add_argument("--output", required=True, type=Path, help="results.json, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest
    from abovo.reporting.results import assemble_results

    assemble_results(
        options.run,
        {name: read_manifest(path, "abovo/model/") for name, path in options.models},
        [read_manifest(path, "abovo/evaluation/") for path in options.evaluations],
        options.figures,
        options.config,
        options.settings,
        options.output,
        Script(Path(__file__), options.settings),
    )


if __name__ == "__main__":
    run(main, arguments())
