"""A machine that a plan is reckoned for: config/hardware/."""

from dataclasses import dataclass

from abovo.settings.keys import key


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """A machine that a plan is reckoned for. Every figure is a prior, replaced by what a run measures."""

    description: str = key("The machine in words", default="", decides=False)
    device_name: str | None = key(
        "What the name that torch gives such a GPU contains; null for a processor", default=None
    )
    devices: int = key("Devices in the machine", default=1, minimum=1, maximum=10**6)
    peak_flops_per_second: float = key(
        "Dense operations at the precision that training uses (1/s, all devices together)", above=0
    )
    utilization: tuple[float, float] = key(
        "Lowest and highest share of the peak that training reaches (fractions, model FLOPs utilization)",
        above=0, maximum=1,
    )  # fmt: skip
    memory_bytes: int = key("Memory of one device (bytes)", minimum=1)
    watts: float | None = key("Draw under load (W); null where unknown", default=None, above=0)
    price_per_hour: float | None = key("Rent (USD per hour); null for a machine that one has", default=None, minimum=0)
