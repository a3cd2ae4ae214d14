"""A machine that a plan is reckoned for, and a card that training tells its utilization of: config/hardware/."""

from dataclasses import dataclass, replace
from typing import Literal

from abovo.settings.keys import key

Precision = Literal["fp32", "bf16", "fp16"]
Asked = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class Peak:
    """Dense operations per second by precision; null where a machine does not have it, or nothing is known."""

    bf16: float | None = key("In bfloat16, summed in float32 (1/s)", default=None, above=0)
    fp16: float | None = key("In float16, summed in float32 (1/s)", default=None, above=0)
    fp32: float | None = key("In float32, or TF32 where the GPU has it (1/s)", default=None, above=0)


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """A machine that a plan is reckoned for. Every figure is a prior, replaced by what a run measures."""

    description: str = key("The machine in words", default="", decides=False)
    device_names: tuple[str, ...] = key(
        "Whole names that torch gives such a GPU; none for a processor", default=(), min_length=1
    )
    devices: int = key("Devices in the machine", default=1, minimum=1, maximum=10**6)
    peak_flops_per_second: Peak = key("Dense operations by precision (1/s, all devices together)")
    utilization: tuple[float, float] = key(
        "Lowest and highest share of the peak that training reaches (fractions, model FLOPs utilization)",
        above=0, maximum=1,
    )  # fmt: skip
    memory_bytes: int = key("Memory of one device (bytes)", minimum=1)
    bandwidth_bytes_per_second: float | None = key(
        "Memory bandwidth of one device (bytes/s); null where unknown", default=None, above=0
    )
    watts: float | None = key("Draw under load (W); null where unknown", default=None, above=0)
    price_per_hour: float | None = key("Rent (USD per hour); null where none is known", default=None, minimum=0)
    price_source: str | None = key("Who asks that price, and when", default=None, decides=False)

    @property
    def on_gpu(self) -> bool:
        """Whether training takes it for a GPU: Apple's and processors, which have no half precision, it does not."""
        return self.peak_flops_per_second.bf16 is not None or self.peak_flops_per_second.fp16 is not None

    def precision(self, asked: Asked) -> Precision | None:
        """What a precision comes to: `auto` is bf16, or fp16 where a machine has none, else fp32; None where the
        machine does not have it."""
        peaks = self.peak_flops_per_second
        known: dict[Precision, float | None] = {"bf16": peaks.bf16, "fp16": peaks.fp16, "fp32": peaks.fp32}
        return next((one for one, peak in known.items() if peak is not None and asked in ("auto", one)), None)

    def reaching(self, share: float) -> "Hardware":
        """The same machine for models that reach a `share` of its utilization (fraction)."""
        low, high = self.utilization
        return replace(self, utilization=(low * share, high * share))

    def peak(self, asked: Asked) -> float | None:
        """Operations per second at a precision; None where the machine does not have it."""
        precision = self.precision(asked)
        return None if precision is None else getattr(self.peak_flops_per_second, precision)
