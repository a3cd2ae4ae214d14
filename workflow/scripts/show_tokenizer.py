"""Turn a tokenizer's card into a page that the report shows.

python workflow/scripts/show_tokenizer.py --title "Tokenizer nano-4k" \\
    --tokenizer results/tokenizers/nano-4k/tokenizer_config.json \\
    --output results/report/tokenizers/nano-4k/card.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--title", required=True, help="title of the page")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer_config.json of the tokenizer")
    parser.add_argument("--output", type=Path, required=True, help="manifest of card.html, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.reporting.draw import page_of_tokenizer

    page_of_tokenizer(options.tokenizer, options.title, options.output, Path(__file__))


if __name__ == "__main__":
    run(main, arguments())
