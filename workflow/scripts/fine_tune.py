"""Fine-tune a base model on conversations with low-rank adapters; killed or stopped, the same command goes on.

python workflow/scripts/fine_tune.py --settings '{...}' --base results/pretrain/nano/manifest.json \
    --tokenizer results/tokenizers/nano_4k/tokenizer_config.json \
    --datasets results/instruction/speech_facts/nano_4k/manifest.json \
    --state results/sft/nano/state --output results/sft/nano/manifest.json
"""

from pathlib import Path

from abovo.console.launch import run, script_parser, settings


def arguments():
    parser = script_parser(__doc__)
    parser.add_argument("--settings", type=settings, required=True, help="the run's settings: JSON or a file's path")
    parser.add_argument("--base", type=Path, required=True, help="manifest of the base model")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer_config.json of the run's tokenizer")
    parser.add_argument("--datasets", type=Path, required=True, nargs="+", help="manifest of each instruction set")
    parser.add_argument("--state", type=Path, required=True, help="folder of the live state (checkpoints, metrics)")
    parser.add_argument(
        "--output", type=Path, required=True, help="manifest to write; adapter/ and model/ appear beside it"
    )
    return parser


def main(options):
    from abovo.instruction.sft import fine_tune
    from abovo.provenance.code import Script

    fine_tune(
        options.settings,
        options.base,
        options.tokenizer,
        options.datasets,
        options.output,
        options.state,
        Script(Path(__file__), options.settings),
    )


if __name__ == "__main__":
    run(main, arguments())
