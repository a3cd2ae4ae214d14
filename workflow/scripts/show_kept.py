"""Set a model that a run keeps on the way beside its finished one, as a model like any other: model/ and its manifest.

python workflow/scripts/show_kept.py --settings '{"name": "chck_1M"}' \\
    --trained results/pretrain/babylm-strict-small/manifest.json \\
    --output results/pretrain/babylm-strict-small/chck_1M/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.checkpoints import Kept


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", type=settings_as(Kept), required=True, help="JSON: name")
    parser.add_argument("--trained", required=True, type=Path, help="manifest of the finished model")
    parser.add_argument("--output", required=True, type=Path, help="manifest of the model, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest
    from abovo.reporting.kept import show_kept
    from abovo.settings.keys import plain

    script = Script(Path(__file__), plain(options.settings))
    show_kept(options.settings, read_manifest(options.trained, "abovo/model/"), options.output, script)


if __name__ == "__main__":
    run(main, arguments())
