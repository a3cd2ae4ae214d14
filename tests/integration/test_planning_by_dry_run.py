"""What a user types before anything is spent: dry runs and plans, offline, in seconds."""

import json
import resource

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


def test_dry_run_takes_less_than_five_seconds(tree, tmp_path):
    """Of processor time, since other tests run beside this one, where Snakemake alone takes 2.4 s of it: on a slower
    machine both take longer."""
    (tmp_path / "Snakefile").write_text("rule all:\n    output: 'made'\n    shell: 'touch made'\n")
    empty = Workflow(tmp_path)

    def seconds(workflow, *words):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert workflow.run_anew("-n", *words).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    rounds = [(seconds(tree, "results/sft/small/results.json"), seconds(empty)) for _ in range(2)]
    own, alone = map(min, zip(*rounds, strict=True))
    assert 0.5 < alone < own < 5 * alone / 2.4


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
    assert done.returncode == 1
    assert message in done.stdout.splitlines()[-1]
    assert done.stdout.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine"], "target 'mine': names no artifact; there are results/corpora/{corpus}/manifest.json"),
        (["results/plan/größer/plan.json"], "'größer' is no name: letters (a-z), digits, - and _ make a name"),
        (["all", "--forcerun", "pretrian"], "target 'pretrian': names no artifact"),
        (["all", "--config", "sets=nano.tokens=5"], "--config sets: nothing takes sets"),
        (["all", "--config", "set=nano.tokens=5", "set=nano.seed=3"], "command line: set= stands twice"),
        (["all", "--config", "set=nano.description='a: b'"], "--config set: is read as YAML with keys or a list"),
    ],
)
def test_word_of_the_call_that_nothing_takes_is_told(tree, words, message):
    done = tree.run("-n", *words)
    assert done.returncode == 1
    assert message in done.stdout.splitlines()[-1]
    assert done.stdout.splitlines()[-1].startswith("error: ")


def test_bad_file_stops_only_who_asks_for_it(tree):
    bad = {"mine.yaml": b"tokens: 1\ntokens: 2\n", "._nano.yaml": b"\x00\x05", "my run.yaml": b"tokens: 1\n"}
    config = tree.folder / "config/config.yaml"
    shipped = config.read_bytes()
    try:
        for name, content in bad.items():
            (tree.folder / "config/runs" / name).write_bytes(content)
        told = tree.make("-n", "results/plan/nano/plan.json").splitlines()
        assert [line for line in told if line.startswith("warning: ")] == [
            "warning: config/runs/my run.yaml: is passed over: not NAME.yaml with a name of a-z, 0-9, - and _",
            "warning: config/runs/mine.yaml, line 2, key tokens: stands twice, on line 1 too; keep one, or rename it",
        ]
        done = tree.run("-n", "results/plan/mine/plan.json")
        assert done.returncode == 1
        assert "error: config/runs/mine.yaml, line 2, key tokens: stands twice" in done.stdout.splitlines()[-1]
        config.write_bytes(b"set: nano.tokens=5\nset: nano.seed=3\n")
        done = tree.run("-n", "results/plan/nano/plan.json")
        assert done.returncode == 1
        assert done.stdout.splitlines()[-1].startswith("error: config/config.yaml, line 2, key set: stands twice")
    finally:
        config.write_bytes(shipped)
        for name in bad:
            (tree.folder / "config/runs" / name).unlink()


@pytest.mark.parametrize("target", ["nowhere/results", "results"], ids=["a disk that is not there", "itself"])
def test_results_on_storage_that_is_not_there_are_told(tmp_path, target):
    here = Workflow(copy_of_the_tree(tmp_path / "checkout"))
    (here.folder / "results").symlink_to(tmp_path / target if "/" in target else target)
    done = here.run("-n", "results/plan/nano/plan.json")
    assert done.returncode == 1 and "Traceback" not in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("error: "))
    assert "results" in line and "mend it, or name another place" in line
