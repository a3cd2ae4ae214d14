"""Turn weights of auxiliary losses into trials of inl-nano beside one without: a grid on one seed, then its best."""

from collections.abc import Mapping
from typing import Any

from inl_report import table
from inl_trials import CONTESTANTS, SEEDS, TUNING_SEED, Choice, Study, loss_of, settings_of
from recipe import told

# What `trials` tunes causal_mean to
TUNED = Choice(0.004, 0.0)
FALLING = {"kind": "cosine"}
GRID: tuple[dict[str, Any], ...] = (
    {},
    {"distance": {"weight": 0.01}},
    {"distance": {"weight": 0.1}},
    {"speed": {"weight": 0.01}},
    {"speed": {"weight": 0.1}},
    {"speed": {"weight": 0.1, "schedule": FALLING}},
    {"energy": {"weight": 0.1}},
)


def name_of(losses: Mapping[str, Any]) -> str:
    words = (f"{name} {one['weight']:g}{', falling' if 'schedule' in one else ''}" for name, one in losses.items())
    return ", ".join(words) or "none"


def ended_at(result: Mapping[str, Any]) -> str:
    """The auxiliary losses of the last step."""
    last = next((row for row in reversed(result.get("rows", ())) if "loss" in row), {})
    return ", ".join(f"{value:.3f}" for name, value in last.items() if name.startswith("auxiliary/"))


def auxiliary(study: Study) -> str:
    """Tables of the grid on the tuning text, and of its best beside none on text that no choice was made on."""
    one, tokens = CONTESTANTS["causal_mean"], study.tuning_tokens

    def trial(losses: Mapping[str, Any], seed: int) -> dict[str, Any] | None:
        runs = study.tuning_runs if seed == TUNING_SEED else study.runs
        return study.result(runs, settings_of(one, TUNED, tokens, seed, auxiliary=losses))

    grid = [(losses, found) for losses in GRID if (found := trial(losses, TUNING_SEED)) is not None]
    rows = [[name_of(losses), f"{loss_of(found):.3f}", ended_at(found)] for losses, found in grid]
    head = ["auxiliary losses", "validation loss (nats)", "at the last step"]
    parts = [f"{tokens:,} tokens, seed {TUNING_SEED}\n", table(head, rows)]
    if len(grid) == len(GRID):
        best = min(grid[1:], key=lambda pair: loss_of(pair[1]))[0]
        pairs = [(trial({}, seed), trial(best, seed)) for seed in SEEDS]
        both = [(loss_of(without), loss_of(own)) for without, own in pairs if without is not None and own is not None]
        if both:
            less = told([own - without for without, own in both], "+.3f")
            found = [
                ["none", told([without for without, _ in both]), ""],
                [name_of(best), told([own for _, own in both]), less],
            ]
            parts += ["Other seeds, other text\n", table(["auxiliary losses", "nats per token", "difference"], found)]
    return "\n".join(parts)
