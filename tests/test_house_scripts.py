"""Every script answers at once, without the libraries that only its work needs."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted(Path("workflow/scripts").glob("*.py"))
HEAVY = ("torch", "transformers", "datasets", "lm_eval", "peft", "matplotlib", "pyarrow", "pandas", "scipy", "sklearn")
HELP = f"""
import runpy, sys
try:
    runpy.run_path(sys.argv.pop(1), run_name="__main__")
finally:
    print("heavy:", *sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_help_is_instant(script):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", HELP, str(script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
    assert done.stderr.strip().splitlines()[-1] == "heavy:", f"--help imports {done.stderr}"
    spent = (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
    assert spent < 1.5, f"--help took {spent:.1f} s of processor time"


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_help_shows_a_command_to_copy(script):
    assert f"python {script.as_posix()}" in script.read_text(encoding="utf-8")
