"""Turn what a training counted and what its clocks said into training_summary.json, one file for people and scripts."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Beside the manifest, which does not list it: clocks and memory differ between equal runs.
SUMMARY = "training_summary.json"
TIMINGS = "timings.jsonl"
# Exponents beyond this are no number.
HIGHEST = 700.0


def training_summary(
    counts: Mapping[str, Any], fields: Mapping[str, Any], clocks: Path, earlier_tokens: int = 0
) -> dict[str, Any]:
    """Losses (nats per token) and perplexities before and after, of all that is held out and of each set; steps and
    tokens; seconds of the steps that count, over all lives of the training, tokens per second, the largest memory
    (bytes).

    `counts` and `fields` are those of the model's manifest, `clocks` is timings.jsonl, each of whose rows counts from
    the start of its own life; `earlier_tokens` are those of the phases before.
    """
    timings = [json.loads(line) for line in clocks.read_bytes().splitlines()]
    before, after = fields["validation_loss_first"], fields["validation_loss"]
    seconds = _seconds(timings)
    return {
        "steps": counts["steps"],
        "tokens": counts["tokens"],
        "parameters": counts["parameters"],
        "trained_parameters": counts.get("trained_parameters", counts["parameters"]),
        "training_loss": {"first": fields["train_loss_first"], "last": fields["train_loss_last"]},
        "validation": _change(before, after),
        "validation_by_set": {
            name: _change(losses["first"], losses["last"]) for name, losses in fields["validation_losses"].items()
        },
        **({"stopped_early": fields["stopped_early"]} if "stopped_early" in fields else {}),
        "seconds": round(seconds, 3),
        "tokens_per_second": round((counts["tokens"] - earlier_tokens) / seconds, 1) if seconds else None,
        "peak_memory_bytes": max((row["memory_bytes"] for row in timings), default=None),
    }


def _change(before: float, after: float) -> dict[str, dict[str, float]]:
    return {
        "loss": {"before": before, "after": after},
        "perplexity": {"before": _perplexity(before), "after": _perplexity(after)},
    }


def _perplexity(loss: float) -> float:
    return round(math.exp(min(loss, HIGHEST)), 4)


def _seconds(timings: Sequence[Mapping[str, Any]]) -> float:
    """Of every life its last row: a life that goes on from a checkpoint begins at 0 anew, after another step."""
    last = {row.get("from_step", 0): row["seconds"] for row in timings}
    return sum(last.values())
