"""What goes on beside the steps, reading and writing, loses nothing: no error, no order, no thread."""

import json
import threading
import time

import pytest
import torch
from small_training import CPU, SHORT, changed, counting_batch, fit, small_model

from abovo.errors import AbovoError
from abovo.training.ahead import AHEAD, read_ahead
from abovo.training.state import State, open_state

STEPS = 24


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


def test_batches_are_read_in_their_order_and_no_further_ahead_than_said():
    read = []
    with read_ahead(lambda step: read.append(step) or step, range(3, 9), CPU) as found:
        for step in range(3, 9):
            assert next(found) == step
            assert read == list(range(3, 3 + len(read))) and len(read) <= step - 2 + AHEAD
    assert read == list(range(3, 9))


def test_an_error_of_the_reading_is_raised_where_its_batch_is_asked_for(tmp_path):
    def batch(k):
        if k == 7:
            raise AbovoError("cannot be read", "row 7", "pack it again")
        return counting_batch(k)

    with open_state(tmp_path, {}, 0) as state:
        with pytest.raises(AbovoError, match="row 7: cannot be read; pack it again"):
            fit(small_model(), STEPS, state, batch=batch, recipe=SHORT)
        assert state.steps() == [5]


@pytest.mark.parametrize("step", [5, 15, STEPS])
def test_a_checkpoint_that_cannot_be_written_ends_the_run_with_the_one_before(tmp_path, step):
    """A file is in its place. The last one, too, is waited for."""
    with open_state(tmp_path / "state", {}, 0) as state:
        (tmp_path / f"state/step-{step:09d}.partial").touch()
        kept = "none was written before" if step == 5 else "the newest kept is of step"
        with pytest.raises(AbovoError, match=rf"checkpoint of step {step} cannot be written: file exists; {kept}"):
            fit(small_model(), STEPS, state, recipe=SHORT)
        assert all(kept < step for kept in state.steps())
        assert state.rows()[-1]["step"] <= step + 5


def test_a_checkpoint_holds_its_step_however_far_the_run_has_gone_on_when_it_is_written(tmp_path, monkeypatch):
    """Weights, optimizer and rows of the moment when it was due."""
    write, reached, ended = State._write, {}, {}

    def last_step(state):
        return json.loads(state.metrics.read_bytes().splitlines()[-1])["step"]

    def late(self, folder, step, *values):
        deadline = time.monotonic() + 20
        while step < 15 and last_step(self) < step + 2:
            assert time.monotonic() < deadline, "the run waits for its checkpoint"
            time.sleep(0.001)
        reached[step] = last_step(self)
        write(self, folder, step, *values)

    def run(place):
        recipe = changed(SHORT, validation_interval=1000, keep_every=5)
        with open_state(tmp_path / place, {}, 0) as state:
            fit(small_model(), 15, state, recipe=recipe)
            ended[place] = [state.load_step(step) for step in (5, 10, 15)], state.metrics.read_bytes()
            return [json.loads((tmp_path / place / f"step-{step:09d}/state.json").read_text()) for step in (5, 10, 15)]

    expected = run("waited")
    monkeypatch.setattr(State, "_write", late)
    found = run("late")
    assert reached[5] >= 7 and reached[10] >= 12
    assert [record["files"]["metrics.jsonl"] for record in found] == [
        record["files"]["metrics.jsonl"] for record in expected
    ]
    for one, other in zip(*(contents for contents, _ in ended.values()), strict=True):
        assert all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])
        assert str(one["optimizers"]) == str(other["optimizers"])
