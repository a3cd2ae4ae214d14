"""A training that Ctrl-C interrupts goes on from the step it stood at; two calls that want one training get one."""

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from small_workflow import SmallWorkflow
from training_lives import Data

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return Data(tmp_path_factory.mktemp("data"))


def ctrl_c(call):
    """As a terminal does: to Snakemake and all jobs that are in its process group."""
    os.killpg(call.pid, signal.SIGINT)


@pytest.mark.parametrize("processes", [1, 2], ids=["one process", "torchrun"])
def test_ctrl_c_saves_a_checkpoint_and_the_last_line_says_where_it_goes_on(data, tmp_path, processes):
    workflow = SmallWorkflow(tmp_path, data, 60, processes)
    call = workflow.start()
    with workflow.halted_after(20):
        ctrl_c(call)
    output, _ = call.communicate(timeout=120)
    assert call.returncode != 0
    found = re.fullmatch(
        r"pretraining: stopped at step (\d+) of 60; the same command goes on from there \(pretrain, .*nano\.log\)",
        output.strip().splitlines()[-1],
    )
    assert found, output
    step = int(found[1])
    assert step >= 20 and (workflow.place / f"state/step-{step:09d}").is_dir()
    call = workflow.start("--rerun-incomplete", "pretrain")
    output, _ = call.communicate(timeout=120)
    assert call.returncode == 0 and f"going on from the checkpoint of step {step}" in output, output
    rows = [json.loads(line) for line in (workflow.place / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 61))


@pytest.mark.parametrize("processes", [1, 2], ids=["one process", "torchrun"])
def test_a_second_ctrl_c_ends_at_once(data, tmp_path, processes):
    """The processors are busy with a step that takes long, as seen from here."""
    workflow = SmallWorkflow(tmp_path, data, 100_000, processes)
    call = workflow.start()
    with workflow.halted_after(20):
        ctrl_c(call)
        time.sleep(1)
        assert call.poll() is None
        ctrl_c(call)
    call.communicate(timeout=60)
    assert not workflow.workers()


def test_two_calls_make_one_training_and_neither_removes_what_the_other_placed(data, tmp_path):
    workflow = SmallWorkflow(tmp_path, data, 60)
    first = workflow.start()
    told = ""
    with workflow.halted_after(20):
        assert workflow.start("--unlock").wait(60) == 0
        second = workflow.start("--rerun-incomplete")
        while "waiting for the job that makes results/pretrain/nano/manifest.json (process " not in told:
            line = second.stdout.readline()
            assert line, told
            told += line
        assert not workflow.log.exists()
    model, placed = workflow.place / "model/model.safetensors", False
    while first.poll() is None or second.poll() is None:
        placed = placed or (workflow.place / "manifest.json").exists()
        assert model.exists() or not placed
        time.sleep(0.01)
    output = first.communicate()[0]
    told += second.communicate()[0]
    assert (first.returncode, second.returncode) == (0, 0), output + told
    assert "put in place, nothing computed" in told and "steps 1 to 60" not in told
    log = workflow.log.read_text()
    assert "steps 1 to 60" in log and "nothing computed" in log
    assert int((tmp_path / "results/size").read_text()) == model.stat().st_size
