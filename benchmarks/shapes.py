"""Compare shapes and vocabularies for tiny on small stand-ins of equal parameters, by bits per byte at equal tokens.

python benchmarks/shapes.py                     # 2 vocabularies x 2 shapes x 3 seeds
python benchmarks/shapes.py --input FOLDER --tokens 2000000 --seeds 5

The stand-ins keep what tiny's candidates differ in: the share of the embedding in all parameters (40 and 10-15 %) and
depth against width. All get the shipped recipe, the same number of tokens and the same seeds, so differences are taken
seed by seed. A stand-in replaces the first one only where the 95 % interval of the difference lies below zero.
"""

import argparse
import math
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

from recipe import COMMON, interval
from trained import Runs, model, packed_text, run_settings, training

LENGTH, BATCH_TOKENS = 256, 2048
# name: (pieces, width, layers, heads, key and value heads, feed-forward width), heads of 32; 1.29 to 1.31 million
# parameters each. The first stands for the tiny that ships.
CANDIDATES = {
    "4096 pieces, 128 x 4": (4096, 128, 4, 4, 2, 384),
    "4096 pieces, 96 x 8": (4096, 96, 8, 3, 1, 304),
    "1024 pieces, 128 x 6": (1024, 128, 6, 4, 2, 384),
    "1024 pieces, 192 x 3": (1024, 192, 3, 6, 3, 448),
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder of text files (default: the embedded speeches)")
    parser.add_argument("--megabytes", type=float, default=20, help="text taken from the folder (MB, default: 20)")
    parser.add_argument("--recipe", default="tiny", help="name in config/training (default: tiny)")
    parser.add_argument("--tokens", type=int, default=300_000, help="tokens of every run (default: 300,000)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--together", type=int, default=1, help="training runs at once (default: 1)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "abovo-benchmark-training")
    return parser.parse_args()


def main() -> None:
    from abovo.provenance.manifest import read_manifest

    options = arguments()
    seeds = range(1, options.seeds + 1)
    found: dict[str, list[float]] = {}
    print(f"{'stand-in':24}{'parameters':>12}{'bytes/token':>13}  bits per byte by seed")
    for name, (pieces, width, layers, heads, key_value_heads, feed_forward) in CANDIDATES.items():
        tokenizer, packed = packed_text(options.work, options.input, options.megabytes, pieces, LENGTH)
        held_out = read_manifest(packed)["counts"]["val"]
        per_token = held_out["bytes"] / held_out["tokens"]
        values = {
            **COMMON, "batch_tokens": BATCH_TOKENS, "micro_batch_sequences": BATCH_TOKENS // LENGTH,
            "schedule.warmup_steps": round(0.05 * options.tokens / BATCH_TOKENS),
        }  # fmt: skip
        shape = model(
            {"hidden_size": width, "layers": layers, "heads": heads, "key_value_heads": key_value_heads, "head_dim": 32,
             "feed_forward": feed_forward}
        )  # fmt: skip
        recipe = training(options.recipe, values)
        runs = Runs(options.work, tokenizer, packed, options.together)
        results = runs.results([run_settings(shape, recipe, options.tokens, LENGTH, seed) for seed in seeds])
        found[name] = [result["validation_loss"] / math.log(2) / per_token for result in results]
        listed = "  ".join(f"{value:.4f}" for value in found[name])
        print(f"{name:24}{results[0]['parameters']:>12,}{per_token:>13.2f}  {listed}", flush=True)
    compare(found)


def compare(found: Mapping[str, list[float]]) -> None:
    first, *others = found
    print(f"\ndifference from {first}, seed by seed (bits per byte; below zero is better)")
    for name in others:
        differences = [own - shipped for own, shipped in zip(found[name], found[first], strict=True)]
        spread = interval(differences)
        share = spread["mean"] / statistics.fmean(found[first]) if spread["mean"] is not None else 0.0
        bounds = "" if spread["low"] is None else f"  95 % {spread['low']:+.4f} to {spread['high']:+.4f}"
        print(f"{name:24}{spread['mean']:+.4f} ({share:+.2%}){bounds}")


if __name__ == "__main__":
    main()
