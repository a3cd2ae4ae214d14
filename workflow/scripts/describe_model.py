"""Describe a model that was trained elsewhere, or in another run, so that it can be scored as the models of runs are.

python workflow/scripts/describe_model.py --settings '{"model_directory": "models/gpt2"}' \\
    --output models/described/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.errors import AbovoError
from abovo.settings.keys import decisive
from abovo.settings.stages import GivenModel


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", required=True, type=settings_as(GivenModel), help="folder and context: JSON")
    parser.add_argument("--model", type=Path, help="manifest of a model, where the settings name no folder")
    parser.add_argument("--output", required=True, type=Path, help="manifest of the model, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.evaluation.given import describe_model
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest

    settings = options.settings
    script = Script(Path(__file__), decisive(settings))
    if (settings.model_directory is None) == (options.model is None):
        raise AbovoError("names no model, or two", "--settings", "give it a model_directory, or give --model")
    manifest = None if options.model is None else read_manifest(options.model, "abovo/model/")
    model = manifest or Path(str(settings.model_directory))
    describe_model(model, settings.sequence_length, options.output, script, settings.trust_remote_code)


if __name__ == "__main__":
    run(main, arguments())
