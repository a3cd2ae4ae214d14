"""Describe the machine and the installed packages that an artifact was made with."""

import importlib.metadata
import os
import platform

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
