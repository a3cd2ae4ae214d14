"""Train a model on packed sets; killed or stopped, the same command goes on from the last checkpoint.

python workflow/scripts/train.py --settings settings.json \\
    --tokenizer results/tokenizers/nano-4k/tokenizer_config.json \\
    --sets nano=results/packed/nano/nano-4k/256/manifest.json \\
    --state results/pretrain/nano/state --output results/pretrain/nano/manifest.json
"""

import argparse
from pathlib import Path

from abovo.cluster.requeue import survive_warnings
from abovo.console.launch import named_path, run, script_parser, settings


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", type=settings, required=True, help="the job's settings: JSON or a file's path")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer_config.json of the run's tokenizer")
    parser.add_argument("--sets", type=named_path, required=True, nargs="+", help="NAME=manifest of each packed set")
    parser.add_argument("--start", type=Path, help="manifest of a model, or a Hugging Face folder, to start from")
    parser.add_argument("--before", type=Path, help="manifest of the phase before, from whose end training goes on")
    parser.add_argument("--state", type=Path, required=True, help="folder of the live state (checkpoints, metrics)")
    parser.add_argument("--label", default="training", help="what progress lines call the job")
    parser.add_argument("--output", type=Path, required=True, help="manifest to write; model/ appears beside it")
    return parser


def main(options: argparse.Namespace) -> None:
    survive_warnings()  # while libraries load, too

    from abovo.provenance.code import Script
    from abovo.training.job import read_inputs, run_job
    from abovo.training.task import read_settings

    settings = read_settings(options.settings)
    inputs = read_inputs(options.tokenizer, dict(options.sets), options.start, options.before)
    run_job(settings, inputs, options.output, options.state, Script(Path(__file__), options.settings), options.label)


if __name__ == "__main__":
    run(main, arguments())
