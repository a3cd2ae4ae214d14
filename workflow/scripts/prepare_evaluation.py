"""Make the evaluation sets of a corpus from its validation documents.

python workflow/scripts/prepare_evaluation.py --settings '{"validation_bytes": 320000, "facts": ["speech"], ...}' \\
    --corpus results/corpora/nano/manifest.json --output results/evaluation/nano/facts/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.evaluation import SetsJob
from abovo.settings.keys import decisive


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", required=True, type=settings_as(SetsJob), help="what is measured: JSON or a file")
    parser.add_argument("--corpus", required=True, type=Path, help="manifest of the corpus")
    parser.add_argument("--output", required=True, type=Path, help="manifest of the evaluation sets, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.evaluation.evaluation_sets import prepare_evaluation
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest

    corpus = read_manifest(options.corpus, "abovo/corpus/")
    prepare_evaluation(corpus, options.settings, options.output, Script(Path(__file__), decisive(options.settings)))


if __name__ == "__main__":
    run(main, arguments())
