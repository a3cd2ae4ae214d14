"""A run that was stopped anywhere ends with the weights and metrics of one that was not."""

import os
import signal
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from small_training import ENGINE, RECIPE, SHORT, Killed, counting_batch, fit, of_optimizer, shape, small_model

from abovo.errors import AbovoError
from abovo.settings.job import JobPhase, JobSettings
from abovo.training import loop
from abovo.training.loop import Stopped
from abovo.training.state import open_state
from abovo.training.together import _completed, _settings_of

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


def test_state_of_a_version_that_knew_fewer_keys_goes_on_where_their_values_are_the_defaults(tmp_path):
    settings = JobSettings(
        model=shape(), training=RECIPE, engine=ENGINE, phases=(JobPhase(name="a", sets={"text": 1.0}, share=1.0),),
        tokens=512, sequence_length=16,
    )  # fmt: skip
    earlier = {"settings": _settings_of(settings), "inputs": {"data": "abc"}}
    for part, key in (("settings", "overlap"), ("training", "auxiliary"), ("model", "residual_init")):
        del (earlier if part == "settings" else earlier["settings"])[part][key]
    folder = tmp_path / "state"
    with open_state(folder, earlier, 0) as state:
        state.save(10, {"step": 10})

    def opened(**changes):
        run = SimpleNamespace(settings=replace(settings, **changes))
        identity = {**earlier, "settings": _settings_of(run.settings)}
        return open_state(folder, identity, 0, partial(_completed, run))

    for _ in range(2):
        with opened() as state:
            assert state.load()[0] >= 10
            state.save(20, {"step": 20})
    with pytest.raises(AbovoError, match=r"had settings\.overlap = 0, this one has 4"), opened(overlap=4):
        pass
    with pytest.raises(AbovoError, match=r"had settings\.seed = 42, this one has 43"), opened(seed=43):
        pass
