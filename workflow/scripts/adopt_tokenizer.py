"""Take over the tokenizer of a model that was trained elsewhere, its files byte for byte.

python workflow/scripts/adopt_tokenizer.py --settings '{"model_directory": "models/gpt2"}' \\
    --output models/described/tokenizer/tokenizer_config.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.keys import decisive
from abovo.settings.tokenizer import AdoptedSettings


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--settings", required=True, type=settings_as(AdoptedSettings), help="JSON text or a file: the folder"
    )
    parser.add_argument("--output", required=True, type=Path, help="tokenizer_config.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.provenance.code import Script
    from abovo.tokenizing.adopt import adopt_tokenizer

    adopt_tokenizer(options.settings, options.output, Script(Path(__file__), decisive(options.settings)))


if __name__ == "__main__":
    run(main, arguments())
