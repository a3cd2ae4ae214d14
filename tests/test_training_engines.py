"""Several processes train as one does: same losses, exact resume, checkpoints that fit any number of processes."""

import json
import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from rounding import TIGHT, farthest

from abovo.config.engines import launcher
from abovo.settings.engine import Engine

PROGRAM = Path(__file__).parent / "two_processes.py"
STEPS = 12


def command(processes, *words, program=PROGRAM):
    """Started as a rule starts it."""
    return [*launcher(Engine(kind="torch", processes=processes), 1).split(), str(program), *map(str, words)]


def run(processes, folder, *words):
    folder.mkdir(exist_ok=True)
    return subprocess.run(command(processes, folder, *words), capture_output=True, text=True, check=False, timeout=300)


def outcome(folder, strategy):
    rows = json.loads((folder / f"rows-{strategy}.json").read_text())
    return rows, torch.load(folder / f"weights-{strategy}.pt", weights_only=True)


def same(one, other):
    """Equal to rounding in float64: every row of the metrics, every weight."""
    for own, others in zip(one[0], other[0], strict=True):
        assert own == pytest.approx(others, rel=TIGHT)
    assert farthest(one[1], other[1]) < TIGHT


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    done = run(1, folder, "none", STEPS)
    assert done.returncode == 0, done.stderr
    return outcome(folder, "none")


@pytest.fixture(scope="module", params=["ddp", "fsdp"])
def together(request, tmp_path_factory):
    """(strategy, rows, weights) of two processes that nobody disturbed."""
    folder = tmp_path_factory.mktemp("together")
    done = run(2, folder, request.param, STEPS)
    assert done.returncode == 0, done.stderr
    return request.param, *outcome(folder, request.param)


@pytest.mark.slow
def test_model_of_no_family_of_ours_is_spread_as_ours_are(tmp_path):
    for processes, strategy in ((1, "none-stock"), (2, "fsdp-stock")):
        done = run(processes, tmp_path / strategy, strategy, STEPS)
        assert done.returncode == 0, done.stderr
    same(outcome(tmp_path / "none-stock", "none-stock"), outcome(tmp_path / "fsdp-stock", "fsdp-stock"))


def test_two_processes_have_the_losses_and_weights_of_one(alone, together):
    same(together[1:], alone)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_process_alone_needs_no_launcher(alone, tmp_path, strategy):
    done = run(1, tmp_path, strategy, STEPS)
    assert done.returncode == 0, done.stderr
    same(outcome(tmp_path, strategy), alone)


@pytest.mark.slow
def test_muon_makes_the_same_steps_of_matrices_that_lie_in_parts(tmp_path):
    for processes, name in ((1, "none-muon"), (2, "fsdp-muon")):
        done = run(processes, tmp_path / name, name, STEPS)
        assert done.returncode == 0, done.stderr
    _, weights = spread = outcome(tmp_path / "fsdp-muon", "fsdp-muon")
    same(spread, outcome(tmp_path / "none-muon", "none-muon"))
    killed = run(2, tmp_path / "again", "fsdp-muon", STEPS, 7)
    assert killed.returncode != 0
    again = run(2, tmp_path / "again", "fsdp-muon", STEPS)
    assert again.returncode == 0, again.stderr
    assert all(torch.equal(weights[key], same) for key, same in outcome(tmp_path / "again", "fsdp-muon")[1].items())


@pytest.mark.slow
def test_a_killed_process_takes_the_others_along_and_the_run_goes_on_bit_for_bit(together, tmp_path):
    strategy, rows, weights = together
    killed = run(2, tmp_path, strategy, STEPS, 7)
    assert killed.returncode != 0
    again = run(2, tmp_path, strategy, STEPS)
    assert again.returncode == 0, again.stderr
    same_rows, same_weights = outcome(tmp_path, strategy)
    assert rows == same_rows
    assert all(torch.equal(weights[name], same_weights[name]) for name in weights)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [((2, "fsdp"), (1, "none")), ((1, "none"), (2, "ddp"))])
def test_a_checkpoint_fits_another_number_of_processes(alone, tmp_path, first, then):
    killed = run(first[0], tmp_path, first[1], STEPS, 7)
    assert killed.returncode != 0
    again = run(then[0], tmp_path, then[1], STEPS)
    assert again.returncode == 0, again.stderr
    rows, _ = outcome(tmp_path, then[1])
    assert rows[-1]["validation_loss"] == pytest.approx(alone[0][-1]["validation_loss"], rel=TIGHT)


@pytest.mark.slow
def test_workers_die_with_their_launcher(tmp_path):
    dies_with_its_workers(command(2, tmp_path, "ddp", 100_000), tmp_path / "state")


@pytest.mark.slow
def test_a_signal_to_the_launcher_leaves_a_checkpoint_of_the_step_under_way(tmp_path):
    with started(command(2, tmp_path, "fsdp", 100_000), tmp_path / "state") as launched:
        launched.send_signal(signal.SIGUSR1)
        assert launched.wait(60) != 0
        told = re.search(r"stopped at step (\d+) of 100000", launched.stderr.read())
    assert (tmp_path / f"state/step-{int(told[1]):09d}/state.pt").exists()
    assert not workers(tmp_path)


@contextmanager
def started(words, state):
    """A launcher whose workers have written their first checkpoint."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as launched:
        deadline = time.monotonic() + 120
        while not list(state.glob("step-*")):
            assert time.monotonic() < deadline and launched.poll() is None
            time.sleep(0.1)
        yield launched


def dies_with_its_workers(words, state):
    """SIGKILL to the launcher alone: no orphan trains on."""
    with started(words, state) as launched:
        launched.kill()
    deadline = time.monotonic() + 20
    while workers(Path(words[-3])):
        assert time.monotonic() < deadline, "a worker outlived its launcher"
        time.sleep(0.1)


def workers(folder):
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(place.name)
    return found
