"""Memory that a training step frees on a CPU is there for the next one, without the system's clearing it again."""

import os
import platform
import subprocess
import sys

import pytest

# Memory (MB) that stays of 128 MB when they are freed: as a process is, and as a training makes it
PROGRAM = """
import resource, torch
from pathlib import Path
from abovo.settings.engine import Engine
from abovo.training.device import prepare_device

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

def left():
    before = resident()
    for _ in range(3):
        kept = [torch.ones(2 << 20) for _ in range(16)]
        del kept
    return round(resident() - before)

plain = left()
prepare_device(Engine(kind="torch", device="cpu"), 1)
print(plain, left())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_stays_with_a_training():
    """In a process of its own: what is asked of the allocator holds to its end. Before that, it returns all it can."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    words = [sys.executable, "-c", PROGRAM]
    told = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=120)
    plain, kept = map(int, told.stdout.split())
    assert plain < 64 < 100 < kept < 256
