"""Turn the last model of a run into what other programs open: a Hugging Face folder, GGUF files, a Modelfile, a card.

python workflow/scripts/export_model.py --settings '{"run": "nano", "stage": "sft"}' \\
    --model results/sft/nano/manifest.json --results results/sft/nano/results.json \\
    --output results/export/nano/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings_as
from abovo.settings.export import ExportJob
from abovo.settings.keys import decisive


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", type=settings_as(ExportJob), required=True, help="JSON: the export's settings")
    parser.add_argument("--model", type=Path, required=True, help="manifest of the model")
    parser.add_argument("--results", type=Path, help="results.json of the model, for its card")
    parser.add_argument("--output", type=Path, required=True, help="manifest to write; hf/ and gguf/ appear beside it")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.exporting.job import export_run
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest

    model = read_manifest(options.model, "abovo/model/")
    results = read_manifest(options.results, "abovo/results/") if options.results else None
    script = Script(Path(__file__), decisive(options.settings))
    export_run(options.settings, model, results, options.output, script)


if __name__ == "__main__":
    run(main, arguments())
