"""A stage is one row of a table and one rule: everything after its model follows by itself."""

import itertools
import json
import shutil
import sys
from pathlib import Path

import pytest

from abovo.config.stages import STAGES, phase_of, stages_up_to
from abovo.errors import AbovoError

sys.path.insert(0, str(Path(__file__).parent / "integration"))
from workflow import Workflow, copy_of_the_tree

ROW = '        Stage("dpo", "preference training", "after preferences", after=("pretrain",), phases=False),\n'
RULE = """
rule go_on:
    input: "results/pretrain/{run}/manifest.json"
    output: "results/dpo/{run}/manifest.json"
    shell: "python workflow/scripts/go_on.py {input} {output}"
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Workflow:
    return Workflow(copy_of_the_tree(tmp_path_factory.mktemp("stages")))


def jobs_of(text):
    """(rule, what the dry run prints of the job), for each job."""
    return [tuple(job.split(":\n", 1)) for job in text[: text.rindex("Job stats:")].split("\nrule ")[1:]]


def test_stage_is_one_row_and_one_rule(tree):
    table = tree.folder / "src/abovo/config/stages.py"
    last = '        Stage("given",'
    assert last in table.read_text()
    table.write_text(table.read_text().replace(last, ROW + last))
    rules = tree.folder / "rules/sft.smk"
    rules.write_text(rules.read_text() + RULE)
    text = tree.make("-n", "-p", "results/dpo/nano/results.json")
    jobs = jobs_of(text)
    assert [rule for rule, _ in jobs if rule in ("pretrain", "go_on", "fine_tune")] == ["pretrain", "go_on"]
    for rule in ("evaluate", "draw_loss"):
        assert [job for name, job in jobs if name == rule and "stage=dpo, run=nano" in job], rule
    assert "--title 'nano, preference training'" in text
    assert "--titles 'base model' 'after preferences'" in text
    assert "--models pretrain=results/pretrain/nano/manifest.json dpo=results/dpo/nano/manifest.json" in text
    # and the stages that are there already stay as they are
    assert "dpo" not in tree.make("-n", "-p", "results/sft/nano/results.json")


@pytest.mark.parametrize("seed", range(4))
def test_targets_in_any_order_are_planned(tree, monkeypatch, seed):
    """Snakemake goes through targets in the order of their hashes: a phase before its run, or after it."""
    monkeypatch.setenv("PYTHONHASHSEED", str(seed))
    shutil.rmtree(tree.folder / "results", ignore_errors=True)
    run = "results/pretrain/nano-phases"
    assert "Job stats" in tree.make("-n", f"{run}/manifest.json", f"{run}/phase-a/manifest.json")


def test_model_of_a_phase_is_evaluated_like_any_other(tree):
    text = tree.make("-n", "-p", "results/pretrain/nano-phases/phase-a/results.json")
    jobs = dict(jobs_of(text))
    scored = [job for rule, job in jobs_of(text) if rule == "evaluate"]
    assert any("results/packed/nano-speeches/" in job for job in scored)
    assert "pretrain" not in jobs
    assert not any("docstrings" in job for job in scored)
    assert "--title 'nano-phases, pretraining, phase a'" in jobs["draw_loss"]
    given = jobs["draw_loss"].partition("--settings ")[2].split()[0]
    assert json.loads((tree.folder / given).read_text())["phases"] == {"a": 293}
    assert "--models pretrain/phase-a=results/pretrain/nano-phases/phase-a/manifest.json" in jobs["assemble_results"]
    assert "results/report/nano-phases/pretrain/phase-a/loss.svg" in jobs["assemble_results"]


@pytest.mark.slow
def test_models_on_the_way_are_evaluated_like_any_other_with_their_own_tasks(tree):
    text = tree.make("-n", "-p", "results/pretrain/babylm-strict-small/results.json")
    counts = dict(line.split() for line in text[text.rindex("Job stats:") :].splitlines() if len(line.split()) == 2)
    assert (counts["show_kept"], counts["list_kept"], counts["draw_learning"], counts["pretrain"]) == (
        "19",
        "1",
        "1",
        "1",
    )
    assert "results/pretrain/babylm-strict-small/chck_100M/evaluation/blimp_fast.json" in text
    assert "results/pretrain/babylm-strict-small/evaluation/blimp_filtered.json" in text
    assert "results/pretrain/babylm-strict-small/evaluation/blimp_fast.json" not in text
    assert "chck_1M/loss.svg" not in text


@pytest.mark.slow  # a dry run of two runs
def test_comparison_is_made_of_the_evaluations_that_its_name_means(tree):
    """nano-phases is one run, not nano and another."""
    text = tree.make("-n", "-p", "results/compare/nano.pretrain-nano-phases.pretrain-nano.md")
    job = dict(jobs_of(text))["compare"]
    for name, path in (
        ("nano.pretrain", "pretrain/nano"),
        ("nano-phases.pretrain", "pretrain/nano-phases"),
        ("nano", "sft/nano"),
    ):
        assert f"{name}=results/{path}/evaluation.json" in job


def test_stage_without_phases_says_so(tree):
    done = tree.run("-n", "results/sft/nano/phase-a/results.json")
    assert done.returncode != 0
    said = "error: stage sft: has no phases and keeps no models on the way, so none lies in phase-a; ask for that of"
    assert f"{said} pretrain" in done.stdout


def test_chain_leads_from_random_weights_to_the_stage():
    for name, through in itertools.product(STAGES, (("pretrain", "sft"), ("given", "sft"), tuple(STAGES))):
        stages = stages_up_to(name, through)
        assert stages[-1].name == name
        assert not stages[0].after
        assert all(before.name in later.after for before, later in itertools.pairwise(stages))
    assert [one.name for one in stages_up_to("sft", ("pretrain", "given", "sft"))] == ["given", "sft"]
    with pytest.raises(AbovoError, match="has no phases"):
        stages_up_to("sft", ("pretrain", "sft"), "a")
    with pytest.raises(AbovoError, match="starts from the model of cpt or given or pretrain, and the run goes"):
        stages_up_to("sft", ("sft",))


@pytest.mark.parametrize(
    ("names", "phase"),
    [
        ({"phase": "a"}, "a"),
        ({"below": "/phase-b-2"}, "b-2"),
        ({"below": "/chck_1M"}, None),
        ({"below": ""}, None),
        ({"run": "x"}, None),
    ],
)
def test_phase_is_named_by_a_wildcard_of_its_own_or_by_its_folder(names, phase):
    assert phase_of(names) == phase
