"""Turn operations into hours on a machine."""

from collections.abc import Mapping
from typing import Any


def hours(flops: float, machine: Mapping[str, Any]) -> list[float]:
    """Shortest and longest expected training time on a machine of config/hardware (hours)."""
    best, worst = max(machine["utilization"]), min(machine["utilization"])
    per_hour = machine["peak_flops_per_second"] * 3600
    return [float(f"{flops / per_hour / share:.3g}") for share in (best, worst)]
