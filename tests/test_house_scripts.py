"""Every script answers at once, without the libraries that only its work needs, and shows a command that can be run."""

import ast
import itertools
import re
import resource
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

SCRIPTS = sorted(Path("workflow/scripts").glob("*.py"))
# What people ask of any artifact that a script made, and of any model.
OF_ALL = ["evaluate", "verify"]
TOOLS = sorted(Path("workflow/tools").glob("*.py"))
HEAVY = ("torch", "transformers", "datasets", "lm_eval", "peft", "matplotlib", "pyarrow", "pandas", "scipy", "sklearn")
HELP = f"""
import runpy, sys
try:
    runpy.run_path(sys.argv.pop(1), run_name="__main__")
finally:
    print("heavy:", *sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("script", SCRIPTS + TOOLS, ids=str)
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


@pytest.mark.parametrize("script", SCRIPTS + TOOLS, ids=str)
def test_help_shows_a_command_to_copy(script):
    assert f"python {script.as_posix()}" in help_of(script)


def test_every_script_is_a_rules_and_no_tool_is():
    rules = "".join(path.read_text(encoding="utf-8") for path in Path("rules").glob("*.smk"))
    launchers = Path("src/abovo/config/engines.py").read_text(encoding="utf-8")
    others = [script.stem for script in SCRIPTS if f'path_of("{script.stem}")' not in rules]
    assert [name for name in others if f'"{name}"' not in launchers] == OF_ALL
    assert [tool.stem for tool in TOOLS if f"{tool.stem}.py" in rules] == []
    # a rule names a script by path_of, which finds it wherever Snakemake runs
    assert "python workflow" not in rules


def test_rules_can_make_every_path_of_the_examples():
    examples = {(script, path) for script in SCRIPTS + TOOLS for path in paths_of(help_of(script))}
    assert len(examples) > 30
    whole = sorted({path for _, path in examples if "*" not in path})
    named = "set=nano.export.repository=OWNER/NAME"  # what is pushed goes nowhere by itself
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--forceall", *whole, "--config", named]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    made = set(re.findall(r"results/[\w./-]+", done.stdout + done.stderr))
    for script, path in examples:
        assert any(fnmatch(one, path) for one in made), f"the help of {script} names {path}, which no rule makes"


def help_of(script):
    return ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))


def paths_of(text):
    """The files and folders below results/ in a command, but for the live state, which is no rule's output."""
    words = [word.rpartition("=")[2].strip('"') for word in text.split()]
    pairs = itertools.pairwise(words)
    return [word for before, word in pairs if word.startswith("results/") and before != "--state"]
