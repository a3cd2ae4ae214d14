"""Describe the machine and the installed packages that an artifact was made with."""

import importlib.metadata
import os
import platform
import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
PACKAGES = (
    "abovo", "snakemake", "torch", "transformers", "tokenizers", "peft", "deepspeed", "lm_eval", "datasets", "numpy",
    "pyarrow", "sentencepiece", "zstandard", "orjson", "xxhash",
)  # fmt: skip


def environment() -> dict:
    """Interpreter, operating system, processor count and package versions; read from metadata, nothing is imported."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "packages": versions,
    }


def peak_memory_bytes() -> int:
    """The largest resident memory of this process so far.

    Linux keeps `ru_maxrss` across exec, so it would also count the process that started this one.
    """
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
