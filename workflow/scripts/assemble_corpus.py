"""Make a corpus of its sources: duplicates out, budgets kept, order fixed, shards written.

python workflow/scripts/assemble_corpus.py --settings '{...}' --plan results/corpora/nano/plan.json \\
    --sources results/corpora/nano/sources/*/*/manifest.json \\
    --duplicates results/corpora/nano/duplicates/*/manifest.json --output results/corpora/nano/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.corpus import Corpus
from abovo.settings.keys import decisive


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", required=True, type=settings_as(Corpus), help="JSON text or a file: the corpus")
    parser.add_argument("--plan", required=True, type=Path, help="plan.json of the corpus")
    parser.add_argument("--tokenizer", type=Path, nargs="?", help="tokenizer_config.json of the corpus' count_with")
    parser.add_argument("--decontamination", type=Path, nargs="?", help="manifest.json of the indexed evaluation sets")
    parser.add_argument("--sources", required=True, type=Path, nargs="+", help="their folder, or manifests")
    parser.add_argument("--duplicates", required=True, type=Path, nargs="+", help="manifest.json of each comparison")
    parser.add_argument("--output", required=True, type=Path, help="manifest.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.corpus.assemble import assemble_corpus
    from abovo.corpus.parts import in_order, manifests_of
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest
    from abovo.tokenizing.count import measures_of

    corpus = options.settings
    paths = manifests_of(corpus, options.sources)
    plan = read_manifest(options.plan, "abovo/corpus_plan/")
    sources = in_order(corpus, [read_manifest(path, "abovo/source/") for path in paths])
    duplicates = [read_manifest(path, "abovo/duplicates/") for path in options.duplicates]
    measures = measures_of(corpus, options.tokenizer, options.decontamination)
    script = Script(Path(__file__), decisive(corpus))
    ordered = sorted(duplicates, key=lambda one: one["parameters"]["job"])
    assemble_corpus(corpus, plan, sources, ordered, measures, options.output, script)


if __name__ == "__main__":
    run(main, arguments())
