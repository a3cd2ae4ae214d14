"""Show what a model is about to be trained on, and refuse what is empty or suspicious.

python workflow/scripts/inspect_data.py --settings '{}' \\
    --tokenizer results/tokenizers/nano-4k/tokenizer_config.json \\
    --sets nano=results/packed/nano/nano-4k/256/manifest.json \\
    --output results/cpt/quebec-nano/inspection.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import named_path, run, script_parser, settings_as
from abovo.settings.inspection import Inspection


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--settings", required=True, type=settings_as(Inspection), help="JSON: what is shown and the bounds"
    )
    parser.add_argument("--tokenizer", required=True, type=Path, help="tokenizer_config.json of the tokenizer")
    parser.add_argument("--sets", required=True, nargs="+", type=named_path, help="NAME=manifest of each packed corpus")
    parser.add_argument("--output", required=True, type=Path, help="inspection.json, to be made")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.packing.inspection import inspect_sets
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest
    from abovo.settings.keys import decisive
    from abovo.tokenizing.load import load_tokenizer

    packed = {name: read_manifest(path, "abovo/packed/") for name, path in options.sets}
    script = Script(Path(__file__), decisive(options.settings))
    inspect_sets(packed, load_tokenizer(options.tokenizer), options.settings, options.output, script)


if __name__ == "__main__":
    run(main, arguments())
