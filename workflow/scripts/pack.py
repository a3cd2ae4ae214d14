"""Pack a corpus into rows of token ids.

python workflow/scripts/pack.py --corpus results/corpora/nano/manifest.json \\
    --tokenizer results/tokenizers/nano-4k/tokenizer_config.json --sequence-length 256 \\
    --output results/packed/nano/nano-4k/256/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--corpus", required=True, type=Path, help="manifest.json of the corpus")
    parser.add_argument("--tokenizer", required=True, type=Path, help="tokenizer_config.json of the tokenizer")
    parser.add_argument("--sequence-length", required=True, type=int, help="length of a row (tokens)")
    parser.add_argument("--output", required=True, type=Path, help="manifest.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.errors import AbovoError
    from abovo.packing.pack import pack_corpus
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest
    from abovo.tokenizing.load import load_tokenizer

    if options.sequence_length < 2:
        raise AbovoError(f"a row of {options.sequence_length} ids", "--sequence-length", "give 2 or more")
    corpus = read_manifest(options.corpus, "abovo/corpus/")
    pack_corpus(
        corpus, load_tokenizer(options.tokenizer), options.sequence_length, options.output, Script(Path(__file__))
    )


if __name__ == "__main__":
    run(main, arguments())
