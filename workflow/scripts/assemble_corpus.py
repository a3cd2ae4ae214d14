"""Make a corpus of its sources: exact duplicates out, budget kept, order fixed, shards written.

python workflow/scripts/assemble_corpus.py --settings results/settings/nano.json --plan results/corpora/nano/plan.json \
    --sources results/corpora/nano/sources/*/manifest.json --output results/corpora/nano/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", required=True, type=settings, help="JSON text or file: the resolved corpus")
    parser.add_argument("--plan", required=True, type=Path, help="plan.json of the corpus")
    parser.add_argument("--sources", required=True, type=Path, nargs="+", help="manifest.json of each source")
    parser.add_argument("--output", required=True, type=Path, help="manifest.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.corpus.assemble import assemble_corpus
    from abovo.provenance.manifest import read_manifest

    plan = read_manifest(options.plan, "abovo/corpus_plan/")
    manifests = [read_manifest(path, "abovo/source/") for path in options.sources]
    sources = {manifest["parameters"]["name"]: manifest for manifest in manifests}
    assemble_corpus(options.settings, plan, sources, options.output, Path(__file__))


if __name__ == "__main__":
    run(main, arguments())
