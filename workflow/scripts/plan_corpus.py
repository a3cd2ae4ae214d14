"""Plan a corpus: fix the revision of each source, sample it, and say what reading it all will take.

python workflow/scripts/plan_corpus.py --settings '{...}' --output results/corpora/nano/plan.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.corpus import Corpus
from abovo.settings.keys import decisive


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", required=True, type=settings_as(Corpus), help="JSON text or a file: the corpus")
    parser.add_argument("--tokenizer", type=Path, nargs="?", help="tokenizer_config.json of the corpus' count_with")
    parser.add_argument("--output", required=True, type=Path, help="plan.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.corpus.consistency import check_corpus
    from abovo.corpus.examine import Measures
    from abovo.corpus.survey import plan_corpus
    from abovo.provenance.code import Script
    from abovo.tokenizing.count import token_counter

    corpus = options.settings
    check_corpus(corpus, "corpus")
    measures = Measures(*token_counter(corpus, options.tokenizer))
    plan_corpus(corpus, measures, options.output, Script(Path(__file__), decisive(corpus)))


if __name__ == "__main__":
    run(main, arguments())
