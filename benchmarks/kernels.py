"""Turn what torch.profiler traced into a table: what ran for how long, and how often a step.

On a GPU the rows are kernels by their own time, on a CPU operators by theirs.
"""

from collections.abc import Iterable, Sequence
from typing import Any

SHOWN = 20


def kernel_rows(averages: Iterable[Any], device: str, steps: int) -> list[dict[str, Any]]:
    """{name, seconds, calls} of a step, the longest first."""
    from torch.autograd import DeviceType

    found = []
    for event in averages:
        if event.is_user_annotation:
            continue
        if device == "cuda" and event.device_type == DeviceType.CUDA:
            seconds = event.self_device_time_total
        elif device != "cuda" and event.device_type == DeviceType.CPU:
            seconds = event.self_cpu_time_total
        else:
            continue
        found.append({"name": event.key, "seconds": seconds / 1e6 / steps, "calls": event.count / steps})
    return sorted(found, key=lambda row: -row["seconds"])


def kernel_table(rows: Sequence[dict[str, Any]], device: str) -> str:
    """The longest rows in markdown, and the sum of all."""
    what = "kernel" if device == "cuda" else "operator"
    whole = sum(row["seconds"] for row in rows)
    lines = [f"| {what} | ms a step | share | times a step |", "|---|---|---|---|"]
    for row in rows[:SHOWN]:
        name = row["name"].replace("|", "\\|")[:80]
        share = row["seconds"] / whole if whole else 0.0
        lines.append(f"| `{name}` | {row['seconds'] * 1e3:.2f} | {share:.1%} | {row['calls']:,.0f} |")
    calls = sum(row["calls"] for row in rows)
    lines.append(f"| all {len(rows)} {what}s | {whole * 1e3:.2f} | | {calls:,.0f} |")
    return "\n".join(lines)
