"""Read one source of a corpus: clean, filter and count its documents.

python workflow/scripts/read_source.py --settings results/settings/nano.json --source speeches \
    --plan results/corpora/nano/plan.json --output results/corpora/nano/sources/speeches/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", required=True, type=settings, help="JSON text or file: the resolved corpus")
    parser.add_argument("--source", required=True, help="name of the source in the corpus")
    parser.add_argument("--plan", required=True, type=Path, help="plan.json of the corpus")
    parser.add_argument("--tokenizer", type=Path, nargs="?", help="tokenizer_config.json of the corpus' count_with")
    parser.add_argument("--output", required=True, type=Path, help="manifest.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.config.corpora import check_corpus
    from abovo.corpus.read import read_source
    from abovo.provenance.manifest import read_manifest
    from abovo.tokenizing.count import token_counter

    check_corpus(options.settings, "corpus")
    plan = read_manifest(options.plan, "abovo/corpus_plan/")
    count, inputs = token_counter(options.settings, options.tokenizer)
    read_source(options.settings, options.source, plan, count, inputs, options.output, Path(__file__))


if __name__ == "__main__":
    run(main, arguments())
