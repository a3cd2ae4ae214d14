"""Turn the metrics of a training into its losses at given shares of its tokens, to compare trainings with."""

from collections.abc import Mapping, Sequence
from typing import Any

from abovo.errors import AbovoError

SHARES = (0.01, 0.05, 0.1, 0.5, 1.0)
# One batch says little: losses are means over so large a share of the tokens around, or at the end before, a point.
AROUND = 0.01


def losses_at(metrics: Sequence[Mapping[str, Any]], share: float) -> dict[str, float]:
    """Around a share of the tokens of rows of metrics.jsonl: tokens, the mean training loss there, and the last
    validation losses until then (nats). Raises AbovoError where no row carries a loss."""
    rows = [row for row in metrics if row.get("loss") is not None]
    if not rows:
        raise AbovoError("no row carries a loss", "metrics", "train for at least one step")
    whole = rows[-1]["tokens"]
    point = min(share, 1 - AROUND / 2) * whole
    near = [row["loss"] for row in rows if abs(row["tokens"] - point) <= AROUND / 2 * whole]
    nearest = min(rows, key=lambda row: abs(row["tokens"] - point))["loss"]
    found = {"tokens": share * whole, "training": sum(near) / len(near) if near else nearest}
    reached = share * whole * (1 + 1e-9)
    validated = [row for row in metrics if row.get("validation_loss") is not None and row["tokens"] <= reached]
    if validated and validated[-1]["tokens"] > 0:
        last = validated[-1]
        found["validation"] = last["validation_loss"]
        prefix = "validation_loss/"
        found |= {key.removeprefix(prefix): value for key, value in last.items() if key.startswith(prefix)}
    return found


def table(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those losses in a table of Markdown, a row for each of SHARES."""
    rows = [losses_at(metrics, share) for share in SHARES]
    names = list(rows[-1])[1:]
    lines = ["| tokens | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for share, row in zip(SHARES, rows, strict=True):
        cells = (f"{row[name]:.3f}" if name in row else "" for name in names)
        lines.append(f"| {share:.0%}, {row['tokens'] / 1e6:.3g}M | " + " | ".join(cells) + " |")
    return lines
