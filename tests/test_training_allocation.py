"""Memory that a training step frees on a CPU is there for the next one, without the system's clearing it again."""

import platform
import subprocess
import sys

import pytest

# Faults of a second step on fresh memory of 48 MB: as the process is, and as a training makes it
PROGRAM = """
import resource, torch
from abovo.settings.engine import Engine
from abovo.training.device import prepare_device

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    kept = [torch.ones(3 << 20) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def second():
    faults()
    return faults()

plain = second()
prepare_device(Engine(kind="torch", device="cpu"), 1)
print(plain, second())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_second_step_meets_the_memory_of_the_first():
    """In a process of its own: what is asked of the allocator holds to its end."""
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    plain, kept = map(int, told.stdout.split())
    assert kept * 10 < plain
