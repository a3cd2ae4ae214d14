"""What the tests of training compare holds on other processors too: this one stands in with fewer units."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NUMERIC = ("cross_entropy", "meaning", "memory", "optimizers", "precision", "ending")
FEWER = {
    "no vector units": {
        "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE",
    },
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("units", FEWER)
def test_comparisons_hold_on_processors_with_fewer_units(units):
    here = Path(__file__).parent
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    words += [str(here / f"test_training_{name}.py") for name in NUMERIC]
    if FEWER[units]["ATEN_CPU_CAPABILITY"] == "default":
        words += ["-m", "not compiles"]
    environment = {**os.environ, **FEWER[units]}
    done = subprocess.run(words, env=environment, cwd=here.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
