"""Every command of the README works, shown by its dry form."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = Path("README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.strip()
]


def test_quick_start_is_two_commands():
    assert COMMANDS[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_works_dry(command, tmp_path):
    words = shlex.split(command)
    if words[0] == "make":
        words.append("-n")
    elif "--report" in words:  # has no dry form: its target must at least be known
        words = ["snakemake", "-n", words[-1]]
    elif "--unlock" in words:  # would unlock under a run that is at work: try it beside a workflow of its own
        (tmp_path / "Snakefile").write_text("rule all:\n    output: 'x'\n    shell: 'touch x'\n")
        words += ["--directory", str(tmp_path), "--snakefile", str(tmp_path / "Snakefile")]
    elif "-n" not in words:
        words.insert(1, "-n")
    assert words[0] in ("make", "snakemake"), f"the README shows a command that this test cannot try: {command}"
    here = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    if "--profile" in words:
        assert f"Using profile {words[words.index('--profile') + 1]}" in done.stdout + done.stderr


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_link_leads_to_a_file(link):
    assert Path(link).exists()


@pytest.mark.parametrize("script", re.findall(r"workflow/scripts/\w+\.py", TEXT))
def test_named_script_exists(script):
    assert Path(script).is_file()


@pytest.mark.parametrize("name", ["gpu", "slurm"])
def test_profile_is_found_by_its_bare_name(name):
    link = Path(name)
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert (link / "config.yaml").is_file()


def test_no_default_profile_overrides_the_others():
    assert not Path("profiles/default").exists()
