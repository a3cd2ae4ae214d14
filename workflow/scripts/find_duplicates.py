"""Find the documents of all sources of a corpus that are equal or alike, for one range of their hashes.

python workflow/scripts/find_duplicates.py --settings '{...}' --job 0 --plan results/corpora/nano/plan.json \\
    --sources results/corpora/nano/sources/*/*/manifest.json \\
    --output results/corpora/nano/duplicates/0/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.corpus import Corpus
from abovo.settings.keys import decisive


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", required=True, type=settings_as(Corpus), help="JSON text or a file: the corpus")
    parser.add_argument("--job", type=int, default=0, help="which range of hashes, from 0")
    parser.add_argument("--plan", required=True, type=Path, help="plan.json of the corpus")
    parser.add_argument("--sources", required=True, type=Path, nargs="+", help="their folder, or manifests")
    parser.add_argument("--output", required=True, type=Path, help="manifest.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.corpus.duplicates import find_duplicates
    from abovo.corpus.parts import in_order, manifests_of
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest

    corpus = options.settings
    plan = read_manifest(options.plan, "abovo/corpus_plan/")
    paths = manifests_of(corpus, options.sources)
    sources = in_order(corpus, [read_manifest(path, "abovo/source/") for path in paths])
    find_duplicates(corpus, plan, sources, options.job, options.output, Script(Path(__file__), decisive(corpus)))


if __name__ == "__main__":
    run(main, arguments())
