"""Train a base model on packed bins; killed or stopped, the same command goes on from the last checkpoint.

python workflow/scripts/pretrain.py --settings '{...}' \
    --tokenizer results/tokenizers/nano_4k/tokenizer_config.json \
    --packed results/packed/nano/nano_4k/256/manifest.json \
    --state results/pretrain/nano/state --output results/pretrain/nano/manifest.json
"""

from pathlib import Path

from abovo.console.launch import run, script_parser, settings


def arguments():
    parser = script_parser(__doc__)
    parser.add_argument("--settings", type=settings, required=True, help="the run's settings: JSON or a file's path")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer_config.json of the run's tokenizer")
    parser.add_argument("--packed", type=Path, required=True, nargs="+", help="manifest of each packed corpus")
    parser.add_argument("--before", type=Path, help="manifest of the phase before, from whose end training goes on")
    parser.add_argument("--state", type=Path, required=True, help="folder of the live state (checkpoints, metrics)")
    parser.add_argument("--output", type=Path, required=True, help="manifest to write; model/ appears beside it")
    return parser


def main(options):
    from abovo.provenance.code import Script
    from abovo.training.pretrain import pretrain

    pretrain(
        options.settings,
        options.tokenizer,
        options.packed,
        options.output,
        options.state,
        Script(Path(__file__), options.settings),
        options.before,
    )


if __name__ == "__main__":
    run(main, arguments())
