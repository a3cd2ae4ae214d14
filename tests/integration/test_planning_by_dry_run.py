"""What a user types before anything is spent: dry runs and plans, offline, in seconds."""

import json
import time

import pytest
from workflow import Workflow, copy_of_the_tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Workflow:
    return Workflow(copy_of_the_tree(tmp_path_factory.mktemp("dry")))


@pytest.mark.parametrize("run", ["tiny", "tiny-seed", "small", "nano"])
def test_dry_run_plans_the_complete_chain(tree, run):
    text = tree.make("-n", f"results/sft/{run}/results.json")
    for rule in ("read_source", "assemble_corpus", "train_tokenizer", "pack", "pretrain", "prepare_instruction"):
        assert f"rule {rule}:" in text
    assert "rule fine_tune:" in text


def test_phases_are_a_chain_of_jobs(tree):
    phases = {"small": ["a"], "small-stages": ["plain", "dense"], "nano-phases": ["a"]}
    text = tree.make("-n", *(f"results/pretrain/{run}/manifest.json" for run in phases))
    assert text.count("rule pretrain_phase:") == 4
    assert text.count("rule pretrain:") == 3
    assert all(f"wildcards: run={run}, phase={phase}" in text for run, names in phases.items() for phase in names)


def test_model_of_a_phase_is_a_target_that_needs_nothing_of_the_next(tree):
    text = tree.make("--profile", "gpu", "-n", "results/pretrain/small/phase-a/model")
    job = text[text.index("rule pretrain_phase:") :]
    assert "gpu=1" in job[: job.index("Shell command:")]
    assert "rule pretrain:" not in text
    assert "small-b" not in text


def test_evaluation_reserves_the_threads_that_it_uses_whatever_the_engine(tree):
    two = Workflow(tree.folder, "nano.engine=ddp,nano.engine.processes=2")
    text = two.make("-n", "--cores", "8", "results/pretrain/nano/evaluation.json")
    jobs = {job.split(":", 1)[0]: job for job in text.split("rule ")[1:]}
    assert "threads: 4" in jobs["pretrain"]
    assert "threads: 2" in jobs["evaluate"]


def test_dry_run_takes_less_than_five_seconds(tree):
    seconds = []
    for _ in range(2):
        started = time.monotonic()
        tree.make("-n", "results/sft/small/results.json")
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 5


def test_profile_is_found_under_its_name(tree):
    text = tree.make("--profile", "gpu", "-n", "results/sft/tiny/results.json")
    assert "Using profile gpu" in text


@pytest.mark.parametrize("run", ["nano", "tiny", "tiny-seed", "small", "small-stages"])
def test_plan_of_every_run_is_made_offline(tree, run):
    tree.make("--cores", "1", f"results/plan/{run}/plan.json")
    plan = json.loads((tree.folder / f"results/plan/{run}/plan.json").read_text())
    assert isinstance(plan["model"]["parameters"], int)
    assert plan["tokens"] > 0
    assert plan["steps"] > 0
    assert plan["flops"] > 6 * plan["model"]["parameters"] * plan["tokens"] * 0.1


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        ("results/sft/nanno/results.json", "", "did you mean nano?"),
        ("results/pretrain/small/phase-c/model", "", "the run has no phase 'c'; its phases are a, b"),
        ("results/pretrain/small/phase-b/model", "", "ask for results/pretrain/small/manifest.json"),
        ("results/sft/nano/results.json", "nano.tokenz=5", "unknown key tokenz"),
        ("results/sft/nano/results.json", "nano.tokens=-5", "--config set, key nano.tokens: -5"),
        ("results/sft/nano/results.json", "nano.tokens=many", "'many' is not of type 'integer'"),
    ],
)
def test_mistake_is_told_before_anything_runs(tree, target, settings, message):
    done = Workflow(tree.folder, settings).run("-n", target)
    assert done.returncode != 0
    assert message in done.stdout
    assert "Traceback" not in done.stdout
