"""Turn operations into hours, and their price, on the machines of config/hardware."""

from collections.abc import Mapping
from typing import Literal

from abovo.settings.hardware import Hardware

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def hours(flops: float, machine: Hardware, precision: Precision = "auto") -> list[float] | None:
    """Shortest and longest expected training time on a machine (hours); None where it has no such precision."""
    peak = machine.peak(precision)
    if peak is None:
        return None
    return [rounded(flops / (peak * 3600) / share) for share in (max(machine.utilization), min(machine.utilization))]


def costs(spans: Mapping[str, list[float]], machines: Mapping[str, Hardware]) -> dict[str, list[float]]:
    """What those hours cost (USD) on machines whose price is known."""
    found = {}
    for name, span in spans.items():
        price = machines[name].price_per_hour
        if price is not None:
            found[name] = [rounded(time * price) for time in span]
    return found


def rounded(value: float) -> float:
    """To three digits, which is more than a prior knows."""
    return float(f"{value:.3g}")
