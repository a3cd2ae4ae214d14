"""Measure the training engine: tokens that the recipe needs, speed against others, and the time to the first step.

python benchmarks/training.py                          # everything: about half an hour on two quiet cores
python benchmarks/training.py --quick                  # one seed at a third of the budget: about five minutes
python benchmarks/training.py --only speed start       # parts: recipe, speed, start
python benchmarks/training.py --device cuda            # tiny and small on a GPU against others, in place of these parts
python benchmarks/training.py --device cuda --models tiny --profile    # with kernels by time
python benchmarks/training.py --device cpu --rounds 1                  # the same at a size of seconds
python benchmarks/training.py --input FOLDER --json figures.json     # .jsonl.zst, .parquet, .txt

Training runs are kept below --work under the hash of what they are made from: a benchmark that was stopped goes on.
Each takes one thread; the contest of speeds takes as many as the machine has.
"""

import argparse
import json
import os
import tempfile
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
    parser.add_argument("--device", choices=("cpu", "cuda"), help="the contest of shipped models on a device, alone")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, help="with --device (default: both)")
    parser.add_argument("--micro-batch", type=int, help="with --device: rows at once, of all (default: the recipe's)")
    parser.add_argument("--profile", action="store_true", help="with --device: kernels, on a CPU operators, by time")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "abovo-benchmark-training")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.device:
        import device_contest

        rounds = options.rounds or 3
        asked = (options.device, options.models, rounds, options.threads, options.micro_batch, options.profile)
        figures = device_contest.run(*asked)
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
        import training_speed

        rounds = options.rounds or (3 if options.quick else 7)
        speed = training_speed.speeds(packed, VOCABULARY, options.threads, 8, rounds, options.clock)
        print_speed(speed, options.threads, options.clock)
        own = speed["medians"]["abovo"]
        for name, peer in (
            ("trainer", "transformers_trainer"), ("minimal", "minimal_loop"), ("nanogpt", "nanogpt_style")
        ):  # fmt: skip
            result[f"speed_vs_{name}"] = round(own / speed["medians"][peer], 3)
        result["overhead_share"] = round(speed["overhead"], 4)
    if "start" in options.only:
        import training_speed

        starts = training_speed.first_steps(tokenizer, packed, 1 if options.quick else 3)
        result["first_step_seconds"] = round(starts[len(starts) // 2], 1)
        print(f"\nfirst optimizer step of nano, seconds after the start of its script: {result['first_step_seconds']}"
              f" (of {len(starts)}: {starts[0]:.1f} to {starts[-1]:.1f})")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


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


def print_speed(speed: dict[str, Any], threads: int, clock: str) -> None:
    own = speed["medians"]["abovo"]
    sizes = ", ".join(f"{name} {size:,}" for name, size in speed["parameters"].items())
    print(f"\nTokens per second ({clock}), {threads} threads, {len(speed['rounds']['abovo'])} rounds in turns")
    print(f"parameters: {sizes}\n")
    print(f"{'':24}{'median':>10}{'low':>10}{'high':>10}{'ratio':>8}")
    for name, rounds in speed["rounds"].items():
        middle = speed["medians"][name]
        print(f"{name:24}{middle:>10,.0f}{min(rounds):>10,.0f}{max(rounds):>10,.0f}"
              f"{own / middle:>8.3f}")  # fmt: skip
    print(f"share of time outside gradient and optimizer step: {speed['overhead']:.2%}")


if __name__ == "__main__":
    main()
