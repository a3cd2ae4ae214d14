"""Draw what a corpus is made of: tokens per source, and what became of the documents that were read.

python workflow/scripts/draw_composition.py --title "corpus nano" \\
    --corpus results/corpora/nano/manifest.json --output results/report/corpora/nano/composition.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--title", required=True, help="title of the figure")
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    parser.add_argument("--output", type=Path, required=True, help="manifest of composition.svg, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.reporting.draw import composition_of_corpus

    composition_of_corpus(options.corpus, options.title, options.output, Path(__file__))


if __name__ == "__main__":
    run(main, arguments())
