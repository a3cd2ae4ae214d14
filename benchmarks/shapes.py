"""Compare what tiny could be on small stand-ins of equal parameters and tokens, seed by seed.

python benchmarks/shapes.py --only heads                     # one question: some 15 minutes of processor time
python benchmarks/shapes.py --only batch muon --tokens 300000
python benchmarks/shapes.py --input FOLDER --tokens 2000000 --seeds 5

A stand-in keeps what the candidates of a question differ in. All get the shipped recipe but for that, the learning rate
of embeddings scaled with 1 / width, the same number of tokens and the same seeds. The first candidate of a question
stands for what another one would replace: only where the 95 % interval of the difference lies below zero.
"""

import argparse
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipe import COMMON, told
from trained import Runs, Settings, model, packed_text, run_settings, training

LENGTH, BATCH_TOKENS, PIECES = 256, 2048, 4096
WARMUP_SHARE = 0.05
# Width of the shape that the shipped learning rate of embeddings is for
SHIPPED_WIDTH = 320


@dataclass(frozen=True)
class Candidate:
    """A stand-in: (heads, key and value heads, width of a head), the rest of its shape, and what its recipe changes."""

    heads: tuple[int, int, int] = (2, 2, 64)
    width: int = 128
    layers: int = 4
    feed_forward: int = 344
    pieces: int = PIECES
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def shape(self) -> Settings:
        heads, key_value_heads, head_dim = self.heads
        values = {"heads": heads, "key_value_heads": key_value_heads, "head_dim": head_dim}
        sides = {"hidden_size": self.width, "layers": self.layers, "feed_forward": self.feed_forward}
        return model(values | sides)

    def settings(self, recipe: str, tokens: int, seed: int) -> Settings:
        """What the trainer takes. Warm-up and batch are those of a short run unless the question is about them."""
        batch = self.recipe.get("batch_tokens", BATCH_TOKENS)
        rate = training(recipe, {})["optimizer"]["learning_rate"] * SHIPPED_WIDTH / self.width
        values = {
            **COMMON, "batch_tokens": batch, "micro_batch_sequences": batch // LENGTH,
            "schedule.warmup_steps": round(WARMUP_SHARE * tokens / batch), "optimizer.learning_rate": rate,
        }  # fmt: skip
        return run_settings(self.shape(), training(recipe, {**values, **self.recipe}), tokens, LENGTH, seed)


def _rates(key: str, *values: float) -> dict[str, Candidate]:
    return {f"{value:g}": Candidate(recipe={key: value}) for value in values}


# All of 1.29 to 1.31 million parameters
QUESTIONS: dict[str, dict[str, Candidate]] = {
    "heads": {
        "4 x 32, 2 for keys and values": Candidate((4, 2, 32), feed_forward=384),
        "2 x 64, 2 for keys and values": Candidate(),
        "8 x 16, 4 for keys and values": Candidate((8, 4, 16), feed_forward=384),
        "2 x 64, 1 for keys and values": Candidate((2, 1, 64), feed_forward=384),
    },
    "batch": {f"{batch:,} tokens": Candidate(recipe={"batch_tokens": batch}) for batch in (2048, 1024, 4096)},
    "muon": _rates("optimizer.muon_learning_rate", 0.02, 0.01, 0.04),
    "embeddings": _rates("optimizer.learning_rate", 0.02, 0.01, 0.04),
    "vocabulary": {
        "4096 pieces, 128 x 4": Candidate((4, 2, 32), feed_forward=384),
        "4096 pieces, 96 x 8": Candidate((3, 1, 32), 96, 8, 304),
        "1024 pieces, 128 x 6": Candidate((4, 2, 32), 128, 6, 384, 1024),
        "1024 pieces, 192 x 3": Candidate((6, 3, 32), 192, 3, 448, 1024),
    },
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS), help="default: all")
    parser.add_argument("--input", type=Path, help="folder of text files (default: the embedded speeches)")
    parser.add_argument("--megabytes", type=float, default=20, help="text taken from the folder (MB, default: 20)")
    parser.add_argument("--recipe", default="tiny", help="name in config/training (default: tiny)")
    parser.add_argument("--tokens", type=int, default=500_000, help="tokens of every run (default: 500,000)")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--together", type=int, default=1, help="training runs at once (default: 1)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "abovo-benchmark-training")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    for question in options.only:
        print(f"\n{question}: {options.tokens:,} tokens each\n")
        answer(QUESTIONS[question], options)


def answer(candidates: Mapping[str, Candidate], options: argparse.Namespace) -> None:
    """Train the candidates of a question and print its table in markdown, each row as soon as it is there."""
    from abovo.provenance.manifest import read_manifest

    seeds = range(1, options.seeds + 1)
    print("| stand-in | parameters | nats per token, by seed | bits per byte | difference from the first, 95 % |")
    print("|---|---|---|---|---|", flush=True)
    first: list[float] = []
    for name, candidate in candidates.items():
        tokenizer, packed = packed_text(options.work, options.input, options.megabytes, candidate.pieces, LENGTH)
        held_out = read_manifest(packed)["counts"]["val"]
        runs = Runs(options.work, tokenizer, packed, options.together)
        results = runs.results([candidate.settings(options.recipe, options.tokens, seed) for seed in seeds])
        losses = [result["validation_loss"] for result in results]
        bits = [loss / math.log(2) / held_out["bytes"] * held_out["tokens"] for loss in losses]
        less = [one - shipped for one, shipped in zip(bits, first, strict=True)] if first else []
        difference = told(less, "+.4f") if less else ""
        first = first or bits
        listed = ", ".join(f"{loss:.3f}" for loss in losses)
        mean = sum(bits) / len(bits)
        print(f"| {name} | {results[0]['parameters']:,} | {listed} | {mean:.4f} | {difference} |", flush=True)


if __name__ == "__main__":
    main()
