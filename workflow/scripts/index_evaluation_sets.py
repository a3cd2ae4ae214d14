"""Index the n-grams of evaluation sets, so that corpora can be cleaned of them.

python workflow/scripts/index_evaluation_sets.py --settings '{...}' \\
    --output results/decontamination/standard/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.decontamination import Decontamination
from abovo.settings.keys import decisive


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--settings", required=True, type=settings_as(Decontamination), help="JSON text or a file: the sets"
    )
    parser.add_argument("--output", required=True, type=Path, help="manifest.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.corpus.decontaminate import index_evaluation_sets
    from abovo.provenance.code import Script

    index_evaluation_sets(options.settings, options.output, Script(Path(__file__), decisive(options.settings)))


if __name__ == "__main__":
    run(main, arguments())
