"""Push the export of a model to the hub, with the token in the environment's HF_TOKEN.

python workflow/scripts/push_export.py --settings '{"repository": "owner/name"}' \\
    --export results/export/nano/manifest.json --output results/export/nano/pushed.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.export import PushJob
from abovo.settings.keys import decisive


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", type=settings_as(PushJob), required=True, help="JSON: the repository")
    parser.add_argument("--export", type=Path, required=True, help="manifest of the export")
    parser.add_argument("--output", type=Path, required=True, help="manifest of the push, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.exporting.push import push_export
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest

    script = Script(Path(__file__), decisive(options.settings))
    push_export(options.settings, read_manifest(options.export, "abovo/export/"), options.output, script)


if __name__ == "__main__":
    run(main, arguments())
