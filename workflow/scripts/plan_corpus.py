"""Plan a corpus: fix the revision of each source, sample it, and say what reading it all will take.

python workflow/scripts/plan_corpus.py --settings '{...}' --output results/corpora/nano/plan.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", required=True, type=settings, help="JSON text or file: the resolved corpus")
    parser.add_argument("--tokenizer", type=Path, nargs="?", help="tokenizer_config.json of the corpus' count_with")
    parser.add_argument("--output", required=True, type=Path, help="plan.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.corpus.check import check_corpus
    from abovo.corpus.survey import plan_corpus
    from abovo.provenance.code import Script
    from abovo.tokenizing.count import token_counter

    check_corpus(options.settings, "corpus")
    count, inputs = token_counter(options.settings, options.tokenizer)
    plan_corpus(options.settings, count, inputs, options.output, Script(Path(__file__), options.settings))


if __name__ == "__main__":
    run(main, arguments())
