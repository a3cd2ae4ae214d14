"""On a real SLURM of two nodes: what follows the corpus in the reduced chain, and a training stopped in every way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from reduced import DATA, MODELS, REDUCED, hashes
from slurm_cluster import MARK, Cluster, submitted, until, why_not
from workflow import SCRIPTS, Workflow, copy_of_the_tree, kill

pytestmark = pytest.mark.slow
TARGET, TRAINED = "results/sft/nano/manifest.json", "results/pretrain/nano/manifest.json"
MODEL = "results/pretrain/nano/model/model.safetensors"
METRICS = "results/pretrain/nano/state/metrics.jsonl"
CHECKPOINTS = "results/pretrain/nano/state/step-*[0-9]"
LOG = "results/logs/pretrain/nano.log"
# Held by who stops trainers
PULSE = threading.Lock()


@pytest.fixture(scope="module")
def cluster():
    if reason := why_not():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix=MARK, dir="/var/tmp"))
    folder.chmod(0o755)
    running = Cluster(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def workflow(cluster, tmp_path_factory) -> Workflow:
    """The workflow and its profile, with what a site says in it."""
    made = Workflow(copy_of_the_tree(tmp_path_factory.mktemp("slurm") / "tree"), REDUCED)
    path = made.folder / "profiles/slurm/config.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["default-resources"] |= {"slurm_partition": "cpu", "gpu_partition": "gpu", "gpu_type": "a100"}
    profile |= {"slurm-init-seconds-before-status-checks": 10, "latency-wait": 10}
    path.write_text(yaml.safe_dump(profile))
    return made


@contextmanager
def driven(workflow, log, *more, target=TARGET):
    """A Snakemake that drives SLURM; what it says goes into `log`."""
    with log.open("w") as said:
        words = workflow.command("--profile", "slurm", target, *more)
        process = subprocess.Popen(words, cwd=workflow.folder, env=workflow.environment(), stdout=said, stderr=said)
    try:
        yield process
    finally:
        kill(process.pid)
        process.wait()


def signalled(workflow, number):
    """The trainers, which got a signal."""
    trainers = workflow.processes(f"{SCRIPTS}train.py")
    for process in trainers:
        with suppress(ProcessLookupError):
            os.kill(process, number)
    return trainers


@contextmanager
def held(workflow):
    """The trainers, which do nothing meanwhile."""
    with PULSE:
        yield signalled(workflow, signal.SIGSTOP)
        signalled(workflow, signal.SIGCONT)


@contextmanager
def slowed(workflow, pause=0.2):
    """Trainers rest so many seconds after each 0.15: a fast machine would be through before anything happens."""
    ended = threading.Event()

    def pulse():
        while not ended.wait(0.15):
            with held(workflow):
                ended.wait(pause)

    thread = threading.Thread(target=pulse, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def is_warned(process):
    """Whether the signal ahead of a time limit waits for a process that is held, and is still there."""
    place = Path(f"/proc/{process}/status")
    status = place.read_text() if place.exists() else ""
    pending = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
    return any(one >> (signal.SIGUSR1 - 1) & 1 for one in pending)


def test_what_no_node_could_do_is_refused_before_the_first_job(cluster, workflow):
    settings = "small.engine=ddp,small.engine.processes=8"
    done = Workflow(workflow.folder, settings).run("--profile", "slurm", "results/pretrain/small/manifest.json")
    told = [line for line in done.stdout.splitlines() if line.startswith("error:")]
    assert done.returncode == 1 and len(told) == 1
    assert "asks for 8 a100 GPUs on one node, and no node of partition gpu has more than 2" in told[0]
    assert cluster.jobs() == {}


def test_what_a_call_asks_for_instead_is_held_against_the_run(cluster, workflow):
    words = ("--set-resources", "pretrain:nodes=2", "pretran:mem_mb=1", "--default-resources", "slurm_acount=me")
    done = Workflow(workflow.folder, "small.engine=ddp").run(
        "--profile", "slurm", "results/pretrain/small/manifest.json", *words
    )
    assert done.returncode == 1 and cluster.jobs() == {}
    told = [line for line in done.stdout.splitlines() if line.startswith(("error:", "warning:"))]
    assert "did you mean pretrain?" in told[0] and "did you mean slurm_account?" in told[1] and len(told) == 3, told
    assert "asks for 2 nodes, and its engine starts processes for 1; set engine.nodes of the run" in told[-1]


def test_a_cluster_is_looked_at_before_the_first_job(cluster, workflow):
    words = [sys.executable, "workflow/tools/slurm_check.py"]
    done = subprocess.run(words, cwd=workflow.folder, env=workflow.environment(), capture_output=True, text=True)
    found = {" ".join(line.split()[1:]): line.split()[0] for line in done.stdout.splitlines()}
    for words in ("accounts none are kept", "folder from a CPU node seen", ".venv from a CPU node Python 3.1"):
        assert [good for told, good in found.items() if told.startswith(words)] == ["ok"], done.stdout
    # the cards of these nodes are none
    assert done.returncode == 1 and next(told for told, good in found.items() if good == "BAD").startswith("GPUs from")


def test_sixty_parts_are_submitted_in_seconds_and_cancelled_by_ctrl_c(cluster, workflow, tmp_path):
    (workflow.folder / "many").mkdir()
    for number in range(60):
        words = " ".join(f"word{number}x{place}" for place in range(20))
        (workflow.folder / f"many/{number:02}.jsonl").write_text(json.dumps({"text": words}))
    source = {"type": "local", "paths": "many", "parts": 60, "licence": "none", "language": "en"}
    corpus = {"bytes_per_token": 4.0, "decontaminate": {"unchecked": "allow"}, "sources": {"web": source}}
    (workflow.folder / "config/corpora/many.yaml").write_text(yaml.safe_dump(corpus))
    own, log = Workflow(workflow.folder), tmp_path / "said.log"
    own.make("--cores", "1", "results/corpora/many/plan.json")
    taken = [cluster.take_processors(node) for node in ("n1", "n2")]

    def parts():
        return [state for state, _, told in cluster.jobs().values() if "rule_read_source_wildcards_many" in told]

    with driven(own, log, target="results/corpora/many/manifest.json") as driver:
        until(parts, 120, log.read_text)
        until(lambda: len(parts()) == 60, 20, log.read_text)
        assert set(parts()) == {"PENDING"}
        driver.send_signal(signal.SIGINT)
        assert driver.wait(timeout=60) != 0
    assert set(parts()) == {"CANCELLED"}
    subprocess.run(["scancel", *taken], check=True)


def test_processes_are_spread_over_nodes_or_wait_for_one(cluster, workflow, pristine, tmp_path):
    """With one GPU of two free on each node: two processes on two nodes train at once, and on one node wait for it."""
    given_data(workflow, pristine)
    spread, own = (
        Workflow(workflow.folder, f"{REDUCED},nano.engine=zero2,nano.engine.nodes={nodes}") for nodes in (2, 1)
    )
    taken = [cluster.take_gpu(node) for node in ("n1", "n2")]
    log, places, found = tmp_path / "said.log", [], []

    def said():
        return f"{log.read_text()} {cluster.jobs()}"

    for made_by in (spread, own):
        with driven(made_by, log, target=TRAINED) as driver:
            if made_by is own:
                until(lambda: cluster.job_of("rule_pretrain"), 120, said)
                job = cluster.job_of("rule_pretrain")
                time.sleep(15)
                assert cluster.jobs()[job][:2] == ("PENDING", "(Resources)"), said()
                subprocess.run(["scancel", *taken], check=True)
            assert driver.wait(timeout=400) == 0, said()
        places.append(cluster.jobs()[max(cluster.jobs(), key=int)][1])
        found.append(hashes(workflow, [MODEL]))
        validated = [row["validation_loss"] for row in rows_of(workflow) if "validation_loss" in row]
        alone = [row["validation_loss"] for row in rows_of(pristine) if "validation_loss" in row]
        assert validated == pytest.approx(alone, rel=1e-4)
        shutil.rmtree(workflow.folder / "results/pretrain")
    assert places[0] == "n[1-2]" and places[1] in ("n1", "n2")
    assert found[0] == found[1]


def rows_of(workflow):
    lines = (workflow.folder / "results/pretrain/nano/metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def given_data(workflow, whole):
    """What comes before training, from the chain that was made here: for SLURM the rest is enough."""
    for name in ("corpora", "tokenizers", "settings/corpora", "settings/tokenizers"):
        shutil.copytree(whole.folder / "results" / name, workflow.folder / "results" / name, dirs_exist_ok=True)


def test_the_chain_survives_time_limit_preemption_scancel_lost_node_and_killed_driver(
    cluster, workflow, pristine, tmp_path
):
    first, second, places = tmp_path / "first.log", tmp_path / "second.log", {}
    given_data(workflow, pristine)

    def said():
        return first.read_text() + (second.read_text() if second.exists() else "") + str(cluster.jobs())

    def logged(words):
        path = workflow.folder / LOG
        return path.exists() and words in path.read_text()

    def steps():
        """Those of the newest checkpoint, one of each four; metrics have a row for each ten."""
        return max((int(path.name.removeprefix("step-")) for path in workflow.folder.glob(CHECKPOINTS)), default=0)

    def runs(number, elsewhere):
        state, place, _ = cluster.jobs()[number]
        return state == "RUNNING" and place != elsewhere

    def goes_on(number, elsewhere=None, seconds=400):
        """Wait until a job has made steps in a life that nothing shortens; returns its node."""
        until(lambda: runs(number, elsewhere), seconds, said)
        subprocess.run(["scontrol", "update", f"jobid={number}", "TimeLimit=60"], check=True)
        until(lambda: logged("going on from the checkpoint"), seconds, said)
        before = steps()
        until(lambda: steps() > before, seconds, said)
        return places.setdefault(number, []).append(cluster.jobs()[number][1]) or places[number][-1]

    def trained(other=None):
        """The number of the training's job, of another one than `other`."""
        until(lambda: cluster.job_of("rule_pretrain") not in (None, other), 400, said)
        return cluster.job_of("rule_pretrain")

    def through_all_but_the_last():
        """A time limit, preemption, a cancellation, the loss of a node; both jobs, the lost node, the last one."""
        job = trained()
        back = f"SLURM job {job} is put back into the queue"
        until((workflow.folder / METRICS).exists, 400, said)  # which has a row of the first step
        with slowed(workflow, pause=4):
            cluster.shorten(job)
            until(lambda: any(map(is_warned, workflow.processes(f"{SCRIPTS}train.py"))) or logged(back), 400, said)
        with slowed(workflow):
            until(lambda: logged(back), 400, said)
            return job, *through_the_rest(job)

    def through_the_rest(job):
        goes_on(job)
        with held(workflow):
            cluster.preempt(job)
        drained = goes_on(job)
        with held(workflow):
            cluster.restart_controller()
            cluster.drain(drained)
            assert cluster.jobs()[job][:2] == ("RUNNING", drained)
        subprocess.run(["scancel", job], check=True)
        again = trained(job)
        lost = goes_on(again, elsewhere=drained)
        cluster.undrain(drained)
        cluster.lose_node(lost)
        for process in [*workflow.processes("\0remote\0"), *workflow.processes(f"{SCRIPTS}train.py")]:
            kill(process)
        other = goes_on(again, elsewhere=lost)
        return again, lost, other

    began, earlier = time.monotonic(), set(cluster.jobs())
    with driven(workflow, first) as driver:
        job, again, lost, other = through_all_but_the_last()
        trainers = signalled(workflow, signal.SIGSTOP)  # it shall not end while Snakemake starts
        driver.kill()
    assert workflow.run("--unlock").returncode == 0
    with driven(workflow, second) as driver:
        told = f"SLURM job {again} (pretrain nano, on {other}) of an earlier Snakemake is at work here; waiting for it"
        until(lambda: told in second.read_text(), 60, said)
        assert cluster.job_of("rule_pretrain") == again
        for process in trainers:
            os.kill(process, signal.SIGCONT)
        cluster.start_node(lost)
        assert driver.wait(timeout=600) == 0, said()
    own = {number: told for number, told in cluster.jobs().items() if number not in earlier}
    numbers = [number for number, (_, _, told) in own.items() if "rule_pretrain_" in told]
    assert sorted(numbers) == sorted([job, again]), "a retry was spent, or a second trainer submitted"
    assert not {job, again} & set(submitted(second.read_text()))
    nodes = [place for state, place, _ in own.values() if state == "COMPLETED"]
    print(f"{len(own)} jobs in {time.monotonic() - began:.0f} s; training on {places}; at the end {nodes}")
    assert hashes(workflow, DATA + MODELS) == hashes(pristine, DATA + MODELS)
