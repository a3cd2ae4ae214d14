"""Draw training and validation loss of a model over the tokens it has seen, and the validation loss of each source.

python workflow/scripts/draw_loss.py --settings '{"vocabulary_size": 4096}' --title "nano, pretraining" \\
    --model results/pretrain/nano/manifest.json --output results/report/nano/pretrain/loss.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.stages import LossFigure


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", type=settings_as(LossFigure), required=True, help="JSON: vocabulary_size, phases")
    parser.add_argument("--title", required=True, help="title of the figure")
    parser.add_argument("--model", type=Path, required=True, help="manifest of the model")
    parser.add_argument("--output", type=Path, required=True, help="manifest of the figures and the page, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.provenance.code import Script
    from abovo.reporting.draw import loss_of_model
    from abovo.settings.keys import plain

    script = Script(Path(__file__), plain(options.settings))
    loss_of_model(options.settings, options.model, options.title, options.output, script)


if __name__ == "__main__":
    run(main, arguments())
