"""The live state survives damage, refuses strangers and admits one trainer at a time."""

import multiprocessing
import shutil

import pytest
import torch

from abovo.errors import AbovoError
from abovo.training.state import discard_state, open_state

IDENTITY = {"settings": {"seed": 42, "training": {"batch_tokens": 512}}, "inputs": {"data": "abc"}}


def content(step):
    return {"model": {"w": torch.full((4,), float(step))}, "step": step}


def fill(folder, steps=(10, 20, 30)):
    with open_state(folder, IDENTITY, 0) as state:
        for step in steps:
            state.append(state.metrics, {"step": step})
            state.save(step, content(step))
        state.append(state.metrics, {"step": 31})


def test_newest_checkpoint_is_loaded_and_metrics_are_cut_back_to_it(tmp_path):
    fill(tmp_path / "state")
    with open_state(tmp_path / "state", IDENTITY, 0) as state:
        step, loaded = state.load()
        assert step == 30
        assert torch.equal(loaded["model"]["w"], torch.full((4,), 30.0))
        assert [row["step"] for row in state.rows()] == [10, 20, 30]


def test_only_the_last_two_checkpoints_are_kept(tmp_path):
    fill(tmp_path / "state")
    assert sorted(path.name for path in (tmp_path / "state").glob("step-*")) == ["step-000000020", "step-000000030"]


def test_checkpoints_of_multiples_and_of_the_best_step_are_kept_with_the_newest(tmp_path):
    folder = tmp_path / "state"
    with open_state(folder, IDENTITY, 0) as state:
        for step in range(10, 110, 10):
            state.save(step, content(step), last=3, every=40, best=20)
        assert state.steps() == [100, 90, 80, 40, 20]
        assert torch.equal(state.load_step(20)["model"]["w"], torch.full((4,), 20.0))
    discard_state(folder)
    assert not folder.exists()
    left = tmp_path / "checkpoints"
    assert sorted(path.name for path in left.iterdir()) == ["identity.json", "step-000000040", "step-000000080"]


@pytest.mark.parametrize("damage", ["truncate", "flip", "missing", "no record"])
def test_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    fill(tmp_path / "state")
    newest = tmp_path / "state" / "step-000000030"
    data = (newest / "state.pt").read_bytes()
    if damage == "truncate":
        (newest / "state.pt").write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        (newest / "state.pt").write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif damage == "missing":
        (newest / "state.pt").unlink()
    else:
        (newest / "state.json").write_text("{")
    with open_state(tmp_path / "state", IDENTITY, 0) as state:
        step, _ = state.load()
        assert step == 20
        assert [row["step"] for row in state.rows()] == [10, 20]


def test_half_written_checkpoint_is_ignored(tmp_path):
    fill(tmp_path / "state")
    shutil.copytree(tmp_path / "state" / "step-000000030", tmp_path / "state" / "step-000000040.partial")
    with open_state(tmp_path / "state", IDENTITY, 0) as state:
        assert state.load()[0] == 30


def test_state_of_another_recipe_is_refused_and_the_difference_named(tmp_path):
    fill(tmp_path / "state")
    other = {"settings": {"seed": 43, "training": {"batch_tokens": 512}}, "inputs": {"data": "abc"}}
    refusal = pytest.raises(AbovoError, match=r"settings\.seed = 42, this one has 43")
    with refusal, open_state(tmp_path / "state", other, 0):
        pass


def _hold(folder, ready, done):
    with open_state(folder, IDENTITY, 0):
        ready.set()
        done.wait(30)


def test_second_trainer_is_refused_while_the_first_lives(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    first = context.Process(target=_hold, args=(tmp_path / "state", ready, done))
    first.start()
    assert ready.wait(30)
    with pytest.raises(AbovoError, match="another trainer"), open_state(tmp_path / "state", IDENTITY, 0):
        pass
    first.kill()
    first.join()
    with open_state(tmp_path / "state", IDENTITY, 0):
        pass


def test_too_little_room_for_two_checkpoints_is_told_before_training(tmp_path):
    with pytest.raises(AbovoError, match="make space"), open_state(tmp_path / "state", IDENTITY, 1 << 60):
        pass


def test_discard_removes_the_folder(tmp_path):
    fill(tmp_path / "state")
    discard_state(tmp_path / "state")
    assert not (tmp_path / "state").exists()
