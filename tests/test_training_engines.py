"""Several processes train as one does: same losses, exact resume, checkpoints that fit any number of processes."""

import json
import os
import re
import shutil
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
    started = launcher(Engine(kind="torch", processes=processes), 1, "workflow/scripts/{}.py".format)
    return [*started.split(), str(program), *map(str, words)]


def run(processes, folder, *words):
    folder.mkdir(exist_ok=True)
    return subprocess.run(command(processes, folder, *words), capture_output=True, text=True, check=False, timeout=300)


def finished(processes, folder, *strategies):
    """The folder after all of these went to their end, one after the other in one launch."""
    done = run(processes, folder, ",".join(strategies), STEPS)
    assert done.returncode == 0, done.stderr
    return folder


def outcome(folder, strategy):
    rows = json.loads((folder / strategy / "rows.json").read_text())
    return rows, torch.load(folder / strategy / "weights.pt", weights_only=True)


def same(one, other):
    """Equal to rounding in float64: every row of the metrics, every weight."""
    for own, others in zip(one[0], other[0], strict=True):
        assert own == pytest.approx(others, rel=TIGHT)
    assert farthest(one[1], other[1]) < TIGHT


def same_to_the_bit(one, other):
    assert one[0] == other[0]
    assert all(torch.equal(one[1][name], weight) for name, weight in other[1].items())


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process makes that nobody disturbed."""
    return finished(1, tmp_path_factory.mktemp("alone"), "none", "none-stock", "none-muon", "ddp", "fsdp")


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two make."""
    return finished(2, tmp_path_factory.mktemp("together"), "ddp", "fsdp", "fsdp-stock", "fsdp-muon")


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """What runs come to that were killed before step 7, and then went on: as they were, or under other processes, those
    whose names end in after."""
    folder = tmp_path_factory.mktemp("resumed")
    for processes, strategy in ((2, "ddp"), (2, "fsdp"), (2, "fsdp-muon"), (1, "none")):
        assert run(processes, folder, strategy, STEPS, 7).returncode != 0
        assert not (folder / strategy / "rows.json").exists()
    shutil.copytree(folder / "fsdp", folder / "none-after")
    shutil.move(folder / "none", folder / "ddp-after")
    finished(1, folder, "none-after")
    return finished(2, folder, "ddp", "fsdp", "fsdp-muon", "ddp-after")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_and_weights_of_one(alone, together, strategy):
    same(outcome(together, strategy), outcome(alone, "none"))


@pytest.mark.slow
def test_model_of_no_family_of_ours_is_spread_as_ours_are(alone, together):
    same(outcome(together, "fsdp-stock"), outcome(alone, "none-stock"))


@pytest.mark.slow
def test_muon_makes_the_same_steps_of_matrices_that_lie_in_parts(alone, together):
    same(outcome(together, "fsdp-muon"), outcome(alone, "none-muon"))


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_process_alone_needs_no_launcher(alone, strategy):
    same(outcome(alone, strategy), outcome(alone, "none"))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp", "fsdp-muon"])
def test_a_killed_process_takes_the_others_along_and_the_run_goes_on_bit_for_bit(together, resumed, strategy):
    same_to_the_bit(outcome(resumed, strategy), outcome(together, strategy))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["none-after", "ddp-after"])
def test_a_checkpoint_fits_another_number_of_processes(alone, resumed, strategy):
    (rows, _), (others, _) = outcome(resumed, strategy), outcome(alone, "none")
    assert rows[-1]["validation_loss"] == pytest.approx(others[-1]["validation_loss"], rel=TIGHT)


@pytest.mark.slow
def test_workers_die_with_their_launcher(tmp_path):
    dies_with_its_workers(command(2, tmp_path, "ddp", 100_000), tmp_path / "ddp/state")


@pytest.mark.slow
def test_a_signal_to_the_launcher_leaves_a_checkpoint_of_the_step_under_way(tmp_path):
    with started(command(2, tmp_path, "fsdp", 100_000), tmp_path / "fsdp/state") as launched:
        launched.send_signal(signal.SIGUSR1)
        assert launched.wait(60) != 0
        told = re.search(r"stopped at step (\d+) of 100000", launched.stderr.read())
    assert (tmp_path / f"fsdp/state/step-{int(told[1]):09d}/state.pt").exists()
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
