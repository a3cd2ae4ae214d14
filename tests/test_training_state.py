"""The live state survives damage, refuses strangers and admits one trainer at a time."""

import json
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


def fill_files(folder):
    with open_state(folder, IDENTITY, 0) as state:
        for step in (10, 20, 30):
            for path in (state.metrics, state.timings, state.samples):
                state.append(path, {"step": step, "loss": step + 0.5})
            state.save(step, content(step))


def digit(text):
    return text.replace(b"5", b"6", 1)


DAMAGES = {
    "a digit": digit,
    "removed": lambda text: None,
    "emptied": lambda text: b"",
    "cut short": lambda text: text[: len(text) // 4],
    "no JSON": lambda text: b"[" + text[1:],
    "more before": lambda text: b"{}\n" + text,
}


@pytest.mark.parametrize("name", ["metrics.jsonl", "timings.jsonl", "samples.jsonl"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_rows_that_no_checkpoint_knows_end_with_a_line_and_leave_all_as_it_is(tmp_path, name, damage):
    fill_files(tmp_path / "state")
    path = tmp_path / "state" / name
    changed = DAMAGES[damage](path.read_bytes())
    path.unlink() if changed is None else path.write_bytes(changed)
    before = sorted(tmp_path.rglob("*"))
    refusal = pytest.raises(AbovoError, match=rf"{name}: (is|was) .*, or remove {tmp_path}/state to begin")
    with open_state(tmp_path / "state", IDENTITY, 0) as state, refusal:
        state.load()
    assert sorted(tmp_path.rglob("*")) == before
    assert changed is None or path.read_bytes() == changed


def test_rows_changed_after_an_older_checkpoint_go_back_to_it(tmp_path, caplog):
    fill_files(tmp_path / "state")
    path = tmp_path / "state" / "metrics.jsonl"
    head, last = path.read_bytes()[:-12], path.read_bytes()[-12:]
    path.write_bytes(head + last.replace(b"30", b"31"))
    with open_state(tmp_path / "state", IDENTITY, 0) as state:
        step, loaded = state.load()
        assert step == 20 and torch.equal(loaded["model"]["w"], torch.full((4,), 20.0))
        assert [row["step"] for row in state.rows()] == [10, 20]
        assert state.steps() == [20]
    assert f"checkpoint passed over: {path}: is not what was written" in caplog.text


def test_rows_changed_under_a_living_training_are_never_handed_on(tmp_path):
    with open_state(tmp_path / "state", IDENTITY, 0) as state:
        state.append(state.metrics, {"step": 10, "loss": 5})
        state.metrics.write_bytes(digit(state.metrics.read_bytes()))
        with pytest.raises(AbovoError, match=r"metrics\.jsonl: was changed while the training wrote it"):
            state.rows()
        state.append(state.metrics, {"step": 20, "loss": 4})
        state.save(20, content(20))
        with pytest.raises(AbovoError, match="is not what was written"):
            state.load()


@pytest.mark.parametrize("key", ["step", "stays", "identity", "files"])
def test_a_checkpoint_whose_record_was_changed_is_passed_over(tmp_path, key):
    fill(tmp_path / "state")
    path = tmp_path / "state" / "step-000000030" / "state.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {key: {"step": 29, "stays": True, "identity": "x", "files": {}}[key]}))
    with open_state(tmp_path / "state", IDENTITY, 0) as state:
        assert state.load()[0] == 20


def test_a_checkpoint_under_the_name_of_another_step_is_passed_over(tmp_path):
    fill(tmp_path / "state")
    (tmp_path / "state" / "step-000000030").rename(tmp_path / "state" / "step-000000035")
    with open_state(tmp_path / "state", IDENTITY, 0) as state:
        assert state.load()[0] == 20


def test_a_state_that_lost_its_identity_serves_no_other_training(tmp_path):
    fill(tmp_path / "state")
    (tmp_path / "state" / "identity.json").unlink()
    other = {"settings": {"seed": 43}, "inputs": {}}
    with open_state(tmp_path / "state", other, 0) as state, pytest.raises(AbovoError, match="another training"):
        state.load()


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


def test_a_state_on_another_disk_is_discarded_with_its_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "disk")
    fill(tmp_path / "state")
    discard_state(tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_what_else_lies_beside_checkpoints_is_no_checkpoint(tmp_path):
    folder = tmp_path / "state"
    fill(folder)
    shutil.copytree(folder / "step-000000030", folder / "step-000000030 (copy)")
    (folder / "step-000000099").write_text("a file")
    (folder / "step-backup").mkdir()
    with open_state(folder, IDENTITY, 0) as state:
        assert state.steps() == [30, 20]
        assert state.load()[0] == 30
