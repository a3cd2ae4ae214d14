"""Turn operations into hours on a machine."""

from abovo.settings.hardware import Hardware


def hours(flops: float, machine: Hardware) -> list[float]:
    """Shortest and longest expected training time on a machine of config/hardware (hours)."""
    best, worst = max(machine.utilization), min(machine.utilization)
    per_hour = machine.peak_flops_per_second * 3600
    return [float(f"{flops / per_hour / share:.3g}") for share in (best, worst)]
