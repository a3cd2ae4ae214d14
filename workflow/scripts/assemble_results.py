"""Put together what a run reached: results.json with every metric's interval, baseline and protocol.

python workflow/scripts/assemble_results.py \\
    --settings '{"run": "nano"}' \\
    --models pretrain=results/pretrain/nano/manifest.json sft=results/sft/nano/manifest.json \\
    --evaluations results/pretrain/nano/evaluation.json results/sft/nano/evaluation.json \\
    --figures results/report/nano/sft/loss.json --output results/sft/nano/results.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import named_path, run, script_parser, settings_as
from abovo.settings.keys import decisive
from abovo.settings.stages import ResultsSettings


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--settings",
        required=True,
        type=settings_as(ResultsSettings),
        help="JSON: the run",
    )
    parser.add_argument(
        "--models", required=True, nargs="+", type=named_path, metavar="STAGE=PATH",
        help="manifest of each stage's model; the results are about the last one, the others are those it came from",
    )  # fmt: skip
    parser.add_argument(
        "--evaluations", required=True, nargs="+", type=Path, help="evaluation.json of each model, in the same order"
    )
    parser.add_argument(
        "--figures", nargs="*", default=[], type=Path, help="manifests of the report's figures and pages"
    )
    config = Path(__file__).resolve().parents[2] / "config"
    parser.add_argument("--config", default=config, type=Path, help="folder that holds schemas/")
    parser.add_argument("--output", required=True, type=Path, help="results.json, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.evaluation.assemble import SCHEMA as EVALUATION
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest
    from abovo.reporting.results import assemble_results, pair

    models = {name: read_manifest(path, "abovo/model/") for name, path in options.models}
    evaluations = [read_manifest(path, EVALUATION) for path in options.evaluations]
    script = Script(Path(__file__), decisive(options.settings))
    evaluated = pair(models, evaluations)
    figures = [read_manifest(path, "abovo/figures/") for path in options.figures]
    assemble_results(evaluated, figures, options.config, options.settings, options.output, script)


if __name__ == "__main__":
    run(main, arguments())
