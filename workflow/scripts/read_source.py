"""Read one part of a source of a corpus: clean, filter and count its documents, and write their hashes.

python workflow/scripts/read_source.py --settings '{...}' --source speeches --part 0 \\
    --plan results/corpora/nano/plan.json --output results/corpora/nano/sources/speeches/0/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.corpus import Corpus
from abovo.settings.keys import decisive


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", required=True, type=settings_as(Corpus), help="JSON text or a file: the corpus")
    parser.add_argument("--source", required=True, help="name of the source in the corpus")
    parser.add_argument("--part", type=int, default=0, help="which of the source's parts, from 0")
    parser.add_argument("--plan", required=True, type=Path, help="plan.json of the corpus")
    parser.add_argument("--tokenizer", type=Path, nargs="?", help="tokenizer_config.json of the corpus' count_with")
    parser.add_argument("--decontamination", type=Path, nargs="?", help="manifest.json of the indexed evaluation sets")
    parser.add_argument("--output", required=True, type=Path, help="manifest.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.corpus.consistency import check_corpus
    from abovo.corpus.read import read_source
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest
    from abovo.tokenizing.count import measures_of

    corpus = options.settings
    check_corpus(corpus, "corpus")
    plan = read_manifest(options.plan, "abovo/corpus_plan/")
    measures = measures_of(corpus, options.tokenizer, options.decontamination)
    script = Script(Path(__file__), decisive(corpus))
    read_source(corpus, options.source, options.part, plan, measures, options.output, script)


if __name__ == "__main__":
    run(main, arguments())
