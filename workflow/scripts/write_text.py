"""Write the training and the held-out documents of a corpus as plain text, one on each line.

python workflow/scripts/write_text.py --corpus results/corpora/nano/manifest.json \\
    --output results/corpora/nano/text/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--corpus", required=True, type=Path, help="manifest.json of the corpus")
    parser.add_argument("--output", required=True, type=Path, help="manifest.json to write; the texts lie beside it")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.corpus.plain_text import write_text
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest

    write_text(read_manifest(options.corpus, "abovo/corpus/"), options.output, Script(Path(__file__)))


if __name__ == "__main__":
    run(main, arguments())
