"""Measure the training engine: tokens that the recipe needs, speed against others, and the time to the first step.

python benchmarks/training.py                          # everything: about half an hour on two quiet cores
python benchmarks/training.py --quick                  # one seed at a third of the budget: about five minutes
python benchmarks/training.py --only speed start       # parts: recipe, speed, start
python benchmarks/training.py --device cuda            # tiny and small on a GPU against others, in place of these parts
python benchmarks/training.py --device cuda --models tiny --profile    # with kernels by time
python benchmarks/training.py --device cpu             # the part speed alone: 3.5M parameters against others
python benchmarks/training.py --input FOLDER --json figures.json     # .jsonl.zst, .parquet, .txt

Training runs are kept below --work under the hash of what they are made from: a benchmark that was stopped goes on.
Each takes one thread; the contest on a CPU takes as many as the machine has.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# before torch is imported: threads that wait must not spin
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import recipe
from trained import Runs, packed_text

PARTS = ("recipe", "speed", "start")
VOCABULARY = 4096
TOKENS = 1_000_000
MODELS = ("tiny", "small")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder of text files (default: the embedded speeches)")
    parser.add_argument("--megabytes", type=float, default=20, help="text taken from the folder (MB, default: 20)")
    parser.add_argument("--json", type=Path, help="file that receives the figures")
    parser.add_argument("--quick", action="store_true", help="one seed at a third of the budget, fewer rounds")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run (default: all)")
    parser.add_argument("--recipe", default="tiny", help="name in config/training (default: tiny)")
    parser.add_argument("--tokens", type=int, default=TOKENS, help=f"the baseline's budget (default: {TOKENS})")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--shares", type=float, nargs="+", default=recipe.SHARES, help="the recipe's budgets at first")
    parser.add_argument("--together", type=int, default=os.cpu_count() or 1, help="training runs at once")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of the contest of speeds")
    parser.add_argument("--rounds", type=int, help="rounds of a contest (default: 7, with --device 3)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: seconds of the processor, for a"
                        " machine with other work; its ratios stand for one thread only")  # fmt: skip
    parser.add_argument("--device", choices=("cpu", "cuda"), help="the contest on a device, alone")
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=MODELS, help="with --device cuda (default: both)"
    )
    parser.add_argument("--micro-batch", type=int, help="with --device: rows at once, of all (default: the recipe's)")
    parser.add_argument("--profile", action="store_true", help="with --device: kernels, on a CPU operators, by time")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "abovo-benchmark-training")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.device:
        figures: dict[str, Any] = dict(contest(options, options.device, 3))
        if options.json:
            options.json.write_text(json.dumps(figures, indent=1) + "\n")
        return
    tokenizer, packed = packed_text(options.work, options.input, options.megabytes, VOCABULARY, recipe.LENGTH)
    result: dict[str, Any] = {}
    if "recipe" in options.only:
        runs = Runs(options.work, tokenizer, packed, options.together)
        tokens, seeds = (options.tokens // 3, 1) if options.quick else (options.tokens, options.seeds)
        found = recipe.compare(runs, options.recipe, tokens, range(1, seeds + 1), options.shares)
        print_recipe(options.recipe, found, runs.stale)
        result["tokens_ratio"] = {key: value and round(value, 3) for key, value in found["ratio"].items()}
    if "speed" in options.only:
        result["speed"] = contest(options, "cpu", 3 if options.quick else 7)
    if "start" in options.only:
        from first_step import first_steps

        starts = first_steps(tokenizer, packed, 1 if options.quick else 3)
        result["first_step_seconds"] = round(starts[len(starts) // 2], 1)
        print(f"\nfirst optimizer step of nano, seconds after the start of its script: {result['first_step_seconds']}"
              f" (of {len(starts)}: {starts[0]:.1f} to {starts[-1]:.1f})")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def contest(options: argparse.Namespace, device: str, rounds: int) -> Mapping[str, Any]:
    """The trainer against others on a device: prints its tables and returns what they were made from."""
    import device_contest

    how = {"threads": options.threads, "micro_batch": options.micro_batch, "clock": options.clock}
    return device_contest.run(device, options.models, options.rounds or rounds, options.profile, **how)


def print_recipe(name: str, found: dict[str, Any], stale: int) -> None:
    print(f"\nTokens to the baseline's final validation loss; baseline: {found['tokens']:,} tokens\n")
    print("baseline by learning rate: " + ", ".join(f"{rate:g} {loss:.4f}" for rate, loss in found["tuned"].items()))
    print(f"{'seed':>6}{'baseline':>10}{'ratio':>8}   recipe {name}: share of the tokens and loss")
    for (seed, losses), ratio in zip(found["recipe"].items(), found["ratios"], strict=True):
        listed = "  ".join(f"{share:.3f} {loss:.4f}" for share, loss in losses.items())
        print(f"{seed:>6}{found['baseline'][seed]:>10.4f}{ratio:>8.3f}   {listed}")
    ratio = found["ratio"]
    spread = "one seed, no interval" if ratio["low"] is None else f"95 % {ratio['low']:.3f} to {ratio['high']:.3f}"
    print(f"ratio {ratio['mean']:.3f} ({spread})")
    if stale:
        print(f"{stale} of these runs were made by other code than the present; remove --work to train them anew")


if __name__ == "__main__":
    main()
