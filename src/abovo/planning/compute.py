"""Turn operations per token into those of fine-tuning, and operations into hours on a machine."""

from collections.abc import Mapping
from typing import Any

from abovo.modeling.flops import training_flops_per_token
from abovo.modeling.parameters import ParameterCount


def adapter_flops_per_token(model: Mapping[str, Any], count: ParameterCount, sequence_length: int) -> int:
    """As above with frozen weights: no products for the gradients of the matrices, so 4 N in place of 6 N.

    The adapters' own products are left out; they are a few percent at the usual ranks.
    """
    return training_flops_per_token(model, count, sequence_length) - 2 * count.multiplied


def hours(flops: float, machine: Mapping[str, Any]) -> list[float]:
    """Shortest and longest expected training time on a machine of config/hardware (hours)."""
    best, worst = max(machine["utilization"]), min(machine["utilization"])
    per_hour = machine["peak_flops_per_second"] * 3600
    return [float(f"{flops / per_hour / share:.3g}") for share in (best, worst)]
