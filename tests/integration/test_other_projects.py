"""The workflow in other projects' hands: imported as a module, below a folder with an odd name, moved elsewhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workflow import ROOT, Workflow, copy_of_the_tree

SNAKEFILE = """
configfile: "config/config.yaml"

module abovo:
    snakefile: {snakefile!r}
    config: config
{more}

use rule * from abovo as abovo_*
"""
CORPUS = """
sources: {letters: {type: local, paths: texts, licence: CC0-1.0, language: en}}
bytes_per_token: 3.0
deduplication: {near: null}
min_characters: 40
"""
TEXT = "Letter {number}. I write to you of matter {number}, which the {number} ships of the harbour brought in.\n"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A checkout whose path a shell would trip over."""
    return copy_of_the_tree(tmp_path_factory.mktemp("there") / "anna's abovo")


@pytest.fixture
def project(checkout, tmp_path) -> Workflow:
    """A project with a corpus, a tokenizer and a run of its own; all else is as shipped."""
    folder = tmp_path / "my project"
    for place in ("config/runs", "config/corpora", "texts"):
        (folder / place).mkdir(parents=True)
    (folder / "config/config.yaml").write_text('set: ""\n')
    (folder / "Snakefile").write_text(snakefile(checkout))
    (folder / "config/corpora/letters.yaml").write_text(CORPUS)
    run = (ROOT / "config/runs/nano.yaml").read_text().replace("corpus: nano", "corpus: letters")
    run = run.replace("sft: nano", "sft: null").replace("evaluation: facts", "evaluation: text")
    (folder / "config/runs/mine.yaml").write_text(run)
    for number in range(60):
        (folder / f"texts/{number:02d}.txt").write_text(TEXT.format(number=number) * 3)
    return Workflow(folder)


def snakefile(checkout, more=""):
    return SNAKEFILE.format(snakefile=str(checkout / "workflow/Snakefile"), more=more)


def test_checkout_with_a_blank_and_an_apostrophe_dry_runs_and_makes_a_plan(checkout):
    there = Workflow(checkout)
    assert "rule fine_tune:" in there.make("-n", "results/sft/nano/results.json")
    there.make("--cores", "1", "results/plan/nano/plan.json")
    assert json.loads((checkout / "results/plan/nano/plan.json").read_text())["run"] == "nano"


def test_project_plans_a_run_of_its_own_and_those_that_ship(project, checkout):
    text = project.make("-n", "-p", "results/pretrain/mine/results.json")
    assert "rule abovo_pretrain:" in text
    assert "letters=results/packed/letters/nano-4k/256/manifest.json" in text
    assert "rule abovo_fine_tune:" in project.make("-n", "results/sft/tiny/results.json")
    done = project.run("-n", "results/pretrain/mina/results.json")
    assert done.returncode != 0
    assert "did you mean mine?" in done.stdout


def test_project_makes_a_corpus_of_its_own_text(project, checkout):
    project.make("--cores", "2", "results/corpora/letters/manifest.json")
    manifest = json.loads((project.folder / "results/corpora/letters/manifest.json").read_text())
    assert manifest["counts"]["documents"] == 60
    assert not (checkout / "results/corpora").exists()


def test_printed_command_can_be_pasted(project):
    """Into a plain shell: where nothing says where the library lies."""
    text = project.make("-n", "-p", "results/plan/mine/plan.json")
    command = next(line for line in text.splitlines() if "plan.py" in line).partition("exec ")[2]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    subprocess.run(["bash", "-c", command], cwd=project.folder, env=environment, check=True)
    assert json.loads((project.folder / "results/plan/mine/plan.json").read_text())["run"] == "mine"


def test_name_of_the_project_comes_before_one_that_ships(project):
    (project.folder / "config/models").mkdir()
    text = (ROOT / "config/models/nano.yaml").read_text()
    text = text.replace("non_embedding_parameters: ", "non_embedding_parameters: null # ")
    (project.folder / "config/models/nano.yaml").write_text(text.replace("layers: ", "layers: 1 # "))
    project.make("--cores", "1", "results/plan/mine/plan.json")
    own = json.loads((project.folder / "results/plan/mine/plan.json").read_text())["model"]["parameters"]
    (project.folder / "config/models/nano.yaml").unlink()
    project.make("--cores", "1", "results/plan/mine/plan.json")
    assert json.loads((project.folder / "results/plan/mine/plan.json").read_text())["model"]["parameters"] > own


def test_artifacts_lie_below_a_prefix_and_the_projects_own_text_where_it_is(project, checkout):
    (project.folder / "Snakefile").write_text(snakefile(checkout, '    prefix: "models"\n'))
    text = project.make("-n", "-p", "models/results/pretrain/mine/results.json")
    assert "--state models/results/pretrain/mine/state --output models/results/pretrain/mine/manifest.json" in text
    assert " results/" not in text.replace("input: results", "")
    project.make("--cores", "2", "models/results/corpora/letters/manifest.json")
    assert (project.folder / "models/results/corpora/letters/manifest.json").is_file()


def test_checkout_that_moves_reruns_nothing(project, checkout):
    target = "results/corpora/letters/plan.json"
    project.make("--cores", "1", target)
    moved = checkout.with_name("elsewhere")
    checkout.rename(moved)
    try:
        (project.folder / "Snakefile").write_text(snakefile(moved))
        assert "Nothing to be done" in project.make("-n", target)
    finally:
        moved.rename(checkout)


def test_project_takes_a_revision_from_a_repository(project, checkout, tmp_path, monkeypatch):
    """As projects do that snakedeploy makes; Snakemake has a clone already, so no network is needed."""
    git = ["git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    clone = tmp_path / "snakemake/snakemake/source-cache/snakemake-git-cache/github.com/someone/abovo"
    subprocess.run(["git", "clone", "-q", "--bare", str(checkout), str(clone)], check=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = 'github("someone/abovo", path="workflow/Snakefile", tag="v1")'
    text = snakefile(checkout).replace(repr(str(checkout / "workflow/Snakefile")), place)
    assert place in text
    (project.folder / "Snakefile").write_text(text)
    printed = project.make("-p", "--cores", "1", "results/plan/mine/plan.json")
    assert f"exec python .snakemake/abovo/{commit}/workflow/scripts/plan.py" in printed
    assert json.loads((project.folder / "results/plan/mine/plan.json").read_text())["run"] == "mine"


APPTAINER = """#!/usr/bin/env bash
# Stands in for Apptainer, which this machine lacks: notes what it is told, and runs the command without an image.
[[ $1 == --version ]] && echo "apptainer version 1.3.4" && exit
printf '%s\\n' "$@" >>"$TOLD"
exec bash -c "${!#}"
"""


@pytest.mark.slow
def test_jobs_run_in_the_image_that_the_project_names(project, checkout, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/apptainer").write_text(APPTAINER)
    (tmp_path / "bin/apptainer").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    (project.folder / "abovo.sif").touch()
    (project.folder / "config/config.yaml").write_text("container: abovo.sif\n")
    project.make("--sdm", "apptainer", "--cores", "1", "results/plan/mine/plan.json")
    words = (tmp_path / "told").read_text().splitlines()
    assert words[:3] == ["exec", "--home", str(project.folder)]
    assert words[words.index("--bind") + 1] == str(checkout)
    assert "abovo.sif" in words and "workflow/scripts/plan.py" in words[-1]
    assert json.loads((project.folder / "results/plan/mine/plan.json").read_text())["run"] == "mine"
    missing = Workflow(checkout).run("--sdm", "apptainer", "-n", "results/plan/nano/plan.json")
    assert missing.returncode == 1 and "error: --sdm apptainer: no image is named" in missing.stdout


def test_catalog_finds_what_it_asks_for():
    about = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert about["software-stack-deployment"] == {"conda": True, "apptainer": True, "apptainer+conda": False}
    assert set(about) == {"mandatory-flags", "software-stack-deployment", "report"}
    for name in ("workflow/Snakefile", "config/README.md", "config/config.yaml"):
        assert (ROOT / name).is_file(), name
