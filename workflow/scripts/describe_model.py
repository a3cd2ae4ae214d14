"""Describe a model that was trained elsewhere, so that it can be scored as the models of runs are.

python workflow/scripts/describe_model.py --settings '{"model_directory": "models/gpt2"}' \\
    --output models/described/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.keys import decisive
from abovo.settings.stages import GivenModel


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", required=True, type=settings_as(GivenModel), help="folder and context: JSON")
    parser.add_argument("--output", required=True, type=Path, help="manifest of the model, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.evaluation.given import describe_model
    from abovo.provenance.code import Script

    settings = options.settings
    script = Script(Path(__file__), decisive(settings))
    describe_model(Path(settings.model_directory), settings.sequence_length, options.output, script)


if __name__ == "__main__":
    run(main, arguments())
