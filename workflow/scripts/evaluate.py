"""Evaluate any model on any tasks by hand: a folder in the Hugging Face layout, and names in config/evaluation/tasks.

python workflow/scripts/evaluate.py --model models/gpt2 --tasks piqa lambada_openai --output evaluated/gpt2
python workflow/scripts/evaluate.py --model models/mine --tasks my_questions --output evaluated/mine
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--model", required=True, type=Path, help="folder with config.json, safetensors, tokenizer")
    parser.add_argument("--tasks", required=True, nargs="+", help="names in config/evaluation/tasks, or lm-eval's own")
    parser.add_argument("--context", type=int, help="longest context (tokens; default: all positions of the model)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="format of the weights")
    parser.add_argument("--batch-size", type=int, default=16, help="rows that are scored at once (default: 16)")
    parser.add_argument("--threads", type=int, default=2, help="processor threads of torch (default: 2)")
    parser.add_argument("--config", type=Path, help="folder in which names are looked for first (default: config)")
    parser.add_argument("--output", required=True, type=Path, help="folder of evaluation.json and the evidence")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.settings.keys import build
    from abovo.settings.stages import ByHand

    given = {name: getattr(options, name) for name in ("context", "precision", "batch_size", "threads")}
    settings = build(ByHand, given, lambda keys: f"--{keys[0]}".replace("_", "-"))
    # slow to load, so after what is checked at once
    from abovo.evaluation.by_hand import evaluate_folder

    config = options.config or Path("config")
    evaluate_folder(options.model, options.tasks, settings, config, options.output, Path(__file__))


if __name__ == "__main__":
    run(main, arguments())
