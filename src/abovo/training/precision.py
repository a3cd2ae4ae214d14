"""Turn overflowing gradients of half precision into the factor on the loss under which they stay finite.

A step whose gradients overflow is computed again at half the factor, from the same batch. No step is skipped, so step k
still means batch k and the schedule's k-th rate, and a resumed run needs the factor and its age alone.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

FIRST, GROWTH_STEPS = 2.0**16, 2000


class LossScale:
    """The factor `value`; 1 and constant but for fp16. It doubles after 2,000 steps without an overflow."""

    def __init__(self, precision: str) -> None:
        self.changes = precision == "fp16"
        self.value, self.steps = (FIRST if self.changes else 1.0), 0

    def until_finite(
        self, attempt: Callable[[], tuple[Tensor, Tensor]], discard: Callable[[], None]
    ) -> tuple[Tensor, Tensor]:
        """(loss, gradient norm) of `attempt`, repeated after `discard` at half the factor while the norm is not finite.

        At a factor of 1 an overflow is no matter of the scale and both are returned as they are. Only a factor that
        changes has to know the norm, and waits for it.
        """
        while True:
            loss, norm = attempt()
            if not self.changes or self.value <= 1.0 or math.isfinite(norm):
                return loss, norm
            discard()
            self.value, self.steps = self.value / 2, 0

    def passed(self) -> None:
        """Count a step that was made."""
        if not self.changes:
            return
        self.steps += 1
        if self.steps == GROWTH_STEPS:
            self.value, self.steps = self.value * 2, 0

    def state(self) -> dict[str, float]:
        """What `load` takes; nothing where there is no scale, so that a phase in fp16 begins with the first."""
        return {"value": self.value, "steps": self.steps} if self.changes else {}

    def load(self, state: Mapping[str, Any]) -> None:
        if self.changes and state:
            self.value, self.steps = state["value"], state["steps"]
