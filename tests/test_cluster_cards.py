"""Jobs take cards of their own: never one of another, as many as they want or none, and wait for them."""

import json
import os
import socket
import subprocess
import sys

import pytest
from training_lives import SCRIPT, Data, nano_like

from abovo.cluster import cards
from abovo.errors import AbovoError

# Locks of cards lie where all calls on a machine meet: no other call of these tests has cards of these names
FIRST, SECOND = NAMES = f"GPU-aaaa-{os.getpid()}", f"GPU-bbbb-{os.getpid()}"
SHOW = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep({})"


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine with two cards, as far as its driver's program tells."""
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    lines = "\n".join(f"echo 'GPU {number}: NVIDIA H100 80GB HBM3 (UUID: {name})'" for number, name in enumerate(NAMES))
    program.write_text(f'#!/bin/sh\n[ "$1" = -L ] || exit 1\n{lines}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    for name in NAMES:
        (cards.TEMPORARY / f"abovo-cards-{os.getuid()}" / f"{name}.lock").unlink(missing_ok=True)


def job(number, seconds=60.0):
    command = [sys.executable, "workflow/scripts/on_cards.py", str(number), sys.executable, "-c", SHOW.format(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def jobs():
    """Starts jobs, and ends them with the test."""
    started = []

    def start(*arguments):
        started.append(job(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate()


def test_two_jobs_have_a_card_each_and_a_third_waits_until_one_is_killed(jobs, machine, monkeypatch):
    first = jobs(1)
    assert first.stdout.readline().strip() == FIRST
    monkeypatch.setenv("TMPDIR", str(machine))  # the locks do not follow it
    second = jobs(1)
    assert second.stdout.readline().strip() == SECOND
    third = jobs(1)
    told = third.stderr.readline()
    assert told.startswith("waits for 1 of 2 GPUs: GPU 0: NVIDIA H100 80GB HBM3 is taken by ")
    assert f"(process {first.pid})" in told and f"(process {second.pid})" in told
    second.kill()
    assert third.stdout.readline().strip() == SECOND


def test_a_job_of_two_takes_both_or_none(jobs):
    one = jobs(1, 2.0)
    assert one.stdout.readline().strip() == FIRST
    both = jobs(2)
    assert "waits for 2 of 2" in both.stderr.readline()
    # what it waits for with does not keep others from the card that is free
    other = jobs(1, 0.0)
    assert other.stdout.readline().strip() == SECOND
    assert both.stdout.readline().strip() == f"{FIRST},{SECOND}"


def test_more_cards_than_there_are_end_with_one_line(jobs):
    out, told = jobs(3).communicate(timeout=30)
    assert not out
    assert told == (
        f"error: engine.processes: 3 GPUs are wanted on {socket.gethostname()}, 2 are there;"
        " set it to the number of GPUs of all its nodes\n"
    )


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        ("1", ["1"]), ("GPU-bbbb", ["GPU-bbbb"]), ("", []), ("0,7,1", ["0"]), ("-1", []),
        ("0,GPU-aaaa,1", ["0", "1"]), ("NoDevFiles", []), ("1,,0", ["1"]),
        ("MIG-cccc", ["MIG-cccc"]), (None, [FIRST, SECOND]),
    ],
)  # fmt: skip
def test_cards_that_the_environment_hides_are_left_alone(monkeypatch, visible, seen):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [card.visible for card in cards.cards()] == seen


def test_a_number_and_a_name_are_one_card(jobs, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert jobs(1).stdout.readline().strip() == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", SECOND)
    assert "waits for 1 of 1" in jobs(1).stderr.readline()


def test_two_jobs_in_what_a_scheduler_gave_have_a_card_each(jobs, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert {jobs(1).stdout.readline().strip() for _ in range(2)} == {"0", "1"}


def test_a_card_whose_file_was_removed_is_not_taken_by_its_old_file(machine):
    place, (card, *_) = cards._folder(), cards.cards()
    with cards._file(place, card).open("a+"):
        first = cards._try([card], 1, "one", place)
        assert first and not cards._try([card], 1, "two", place)


def test_a_machine_without_cards_has_none(monkeypatch, machine):
    (machine / "bin/nvidia-smi").unlink()
    monkeypatch.setenv("PATH", str(machine / "bin"))
    assert cards.take_cards(1, "a training") == [] and "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_folder_of_someone_else_is_not_used(monkeypatch, machine):
    (machine / f"abovo-cards-{os.getuid()}").symlink_to(machine)
    monkeypatch.setattr(cards, "TEMPORARY", machine)
    with pytest.raises(AbovoError, match="is no folder of yours"):
        cards.take_cards(1, "a training")


def test_a_profile_that_counts_more_cards_than_there_are_is_told(monkeypatch, machine):
    cards.check_counted(2, 5)
    with pytest.raises(AbovoError, match="3 GPUs are counted on, 2 are here; say --resources gpu=2"):
        cards.check_counted(3, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(AbovoError, match=r"no GPU is here \(CUDA_VISIBLE_DEVICES hides all\), and 1 job wants one"):
        cards.check_counted(1, 1)
    (machine / "bin/nvidia-smi").unlink()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", str(machine / "bin"))
    with pytest.raises(AbovoError, match=r"no GPU is here, and 2 jobs want one; .* trains on the processor"):
        cards.check_counted(1, 2)
    cards.check_counted(1, 0)


@pytest.mark.slow
def test_two_trainings_side_by_side_have_a_card_each_and_equal_bytes(tmp_path):
    data = Data(tmp_path)
    settings = nano_like()
    assert settings["engine"]["device"] == "auto"
    started = []
    for name in ("one", "two"):
        folder = tmp_path / name
        command = [sys.executable, SCRIPT, "--settings", json.dumps(settings), "--tokenizer", data.tokenizer]
        command += ["--sets", f"small={data.packed}", "--state", folder / "state", "--output", folder / "manifest.json"]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    told = [one.communicate()[1] for one in started]
    assert [one.returncode for one in started] == [0, 0]
    taken = {line for text in told for line in text.splitlines() if line.startswith("takes ")}
    assert taken == {f"takes GPU {number}: NVIDIA H100 80GB HBM3" for number in range(2)}
    weights = {(tmp_path / name / "model/model.safetensors").read_bytes() for name in ("one", "two")}
    assert len(weights) == 1
