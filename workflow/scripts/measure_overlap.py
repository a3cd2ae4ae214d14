"""Measure which rows of an evaluation's tasks share 13 words in a row with the training documents of a corpus.

python workflow/scripts/measure_overlap.py --settings '{"tasks": {...}}' \\
    --corpus results/corpora/tiny/manifest.json --output results/corpora/tiny/overlap/standard.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.keys import decisive
from abovo.settings.task import OverlapSettings


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--settings", required=True, type=settings_as(OverlapSettings), help="rows of tasks: JSON or a file"
    )
    parser.add_argument("--corpus", required=True, type=Path, help="manifest of the corpus")
    parser.add_argument("--output", required=True, type=Path, help="manifest of the measurement, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.evaluation.overlap import measure_overlap
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest

    corpus = read_manifest(options.corpus, "abovo/corpus/")
    measure_overlap(corpus, options.settings, options.output, Script(Path(__file__), decisive(options.settings)))


if __name__ == "__main__":
    run(main, arguments())
