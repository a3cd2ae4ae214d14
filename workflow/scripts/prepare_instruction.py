"""Pack an instruction data set into rows of conversations with a label mask.

    python workflow/scripts/prepare_instruction.py --settings '{"format": "facts", "facts": "speech", ...}' \\
        --corpus results/corpora/nano/manifest.json --tokenizer results/tokenizers/nano-4k/tokenizer_config.json \\
        --output results/instruction/speech-facts/nano-4k/manifest.json

Without --corpus the records come from the source that the settings name.
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.instruction import InstructionJob
from abovo.settings.keys import decisive


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--settings", required=True, type=settings_as(InstructionJob), help="JSON text or a file: the data set"
    )
    parser.add_argument("--corpus", type=Path, help="manifest of the corpus that format facts draws from")
    parser.add_argument("--tokenizer", required=True, type=Path, help="tokenizer_config.json of the tokenizer")
    parser.add_argument("--output", required=True, type=Path, help="manifest of the rows, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.instruction.prepare import prepare_instruction
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest

    corpus = read_manifest(options.corpus, "abovo/corpus/") if options.corpus else None
    script = Script(Path(__file__), decisive(options.settings))
    prepare_instruction(options.tokenizer, corpus, options.settings, options.output, script)


if __name__ == "__main__":
    run(main, arguments())
