"""A run that was stopped anywhere ends with the weights and metrics of one that was not."""

import os
import signal

import pytest
import torch
from small_training import SHORT, Killed, counting_batch, fit, of_optimizer, small_model

from abovo.errors import AbovoError
from abovo.training import loop
from abovo.training.loop import Stopped
from abovo.training.state import open_state

STEPS = 24


def run(folder, recipe=SHORT, die_before=None, at_death=None):
    """Train from whatever `folder` holds; optionally die when the batch of a step is asked for."""
    torch.set_num_threads(2)
    model = small_model()

    def batch(k):
        if k == die_before:
            at_death()
        return counting_batch(k)

    with open_state(folder, {}, 0) as state:
        fit(model, STEPS, state, batch=batch, recipe=recipe)
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}, state.metrics.read_bytes()


def kill():
    raise Killed


def at_the_beginning_of(step, monkeypatch, happens):
    """The loop asks for the learning rate once a step; batches are read before their steps begin."""
    ask = loop.learning_rate_factor

    def factor(schedule, number, steps):
        if number == step:
            happens()
        return ask(schedule, number, steps)

    monkeypatch.setattr(loop, "learning_rate_factor", factor)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize("step", [0, 3, 5, 8, 16, 17, 23])
def test_killed_training_ends_with_the_same_weights_and_metrics(tmp_path, step, kind):
    recipe = of_optimizer(kind, SHORT)
    weights, metrics = run(tmp_path / "whole", recipe)
    with pytest.raises(Killed):
        run(tmp_path / "killed", recipe, die_before=step, at_death=kill)
    again, again_metrics = run(tmp_path / "killed", recipe)
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert metrics == again_metrics


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_stop_signal_leaves_a_checkpoint_of_the_step_under_way(tmp_path, monkeypatch, number):
    weights, metrics = run(tmp_path / "whole")
    with pytest.raises(Stopped) as stopped, monkeypatch.context() as patch:
        at_the_beginning_of(12, patch, lambda: os.kill(os.getpid(), number))
        run(tmp_path / "stopped")
    assert stopped.value.code == 128 + number
    assert (tmp_path / "stopped" / "step-000000012").is_dir()
    again, again_metrics = run(tmp_path / "stopped")
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert metrics == again_metrics


@pytest.mark.parametrize("step", [13, 15, 16, 24])
def test_diverged_training_names_its_step_and_the_last_good_checkpoint(tmp_path, monkeypatch, step):
    """The step after it is under way when it is found; checkpoints and validations of either are not."""
    model = small_model()

    @torch.no_grad()
    def poison():
        next(model.parameters())[0, 0] = float("nan")

    at_the_beginning_of(step, monkeypatch, poison)
    good = (step - 1) // 5 * 5
    with open_state(tmp_path / "state", {}, 0) as state:
        with pytest.raises(AbovoError, match=rf"step {step}, loss nan.* last good checkpoint is of step") as found:
            fit(model, STEPS, state, recipe=SHORT)
        last = state.steps()[0]
        assert f"last good checkpoint is of step {last}" in str(found.value) and good <= last < step
        assert [row["step"] for row in state.rows() if "loss" in row] == list(range(1, step))
