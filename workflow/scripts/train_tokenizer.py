"""Train a tokenizer on the training documents of a corpus and measure it on the validation documents.

python workflow/scripts/train_tokenizer.py --settings config/tokenizers/nano-4k.yaml \\
    --corpus results/corpora/nano/manifest.json --output results/tokenizers/nano-4k/tokenizer_config.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.keys import decisive
from abovo.settings.tokenizer import TokenizerSettings


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--settings", required=True, type=settings_as(TokenizerSettings), help="JSON text or a file: the tokenizer"
    )
    parser.add_argument("--corpus", required=True, type=Path, help="manifest.json of the corpus")
    parser.add_argument("--output", required=True, type=Path, help="tokenizer_config.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest
    from abovo.tokenizing.train import train_tokenizer

    train_tokenizer(
        options.settings,
        read_manifest(options.corpus, "abovo/corpus/"),
        options.output,
        Script(Path(__file__), decisive(options.settings)),
    )


if __name__ == "__main__":
    run(main, arguments())
