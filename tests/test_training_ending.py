"""A run ends early where its recipe says so, wherever it was killed on the way."""

import pytest
import torch
from rounding import ONE_PASS
from small_training import RECIPE, WORLD, Killed, changed, counting_batch, fit, mean_loss, small_model, whole

from abovo.errors import AbovoError
from abovo.settings.training import SpikeGuard as Guard
from abovo.training.ending import SpikeGuard, best_validation, ending, is_over
from abovo.training.engine_torch import TorchEngine
from abovo.training.loop import train
from abovo.training.state import open_state
from abovo.training.task import Task

STOPPING = changed(RECIPE, validation_interval=5, checkpoint_interval=3, early_stopping={"patience": 2})


def strange(vocabulary=(60, 128)):
    """Rows of ids that training never shows, so that the loss on them soon rises."""
    return whole(torch.randint(*vocabulary, (8, 16), generator=torch.Generator().manual_seed(5)))


def overfit(folder, die_before=None):
    """Train for up to 60 steps on numbers below 50, validated on larger ones."""
    torch.set_num_threads(2)
    model = small_model()

    def batch(k):
        if k == die_before:
            raise Killed
        return counting_batch(k)

    task = Task("test", batch, lambda: [strange()], 60, 128, STOPPING)
    with open_state(folder, {}, 0) as state:
        train(task, TorchEngine(model, STOPPING, WORLD, "none"), WORLD, state)
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}, state.rows()


def test_validation_without_a_gain_ends_the_run_with_the_best_weights(tmp_path):
    weights, rows = overfit(tmp_path)
    losses = {row["step"]: row["validation_loss"] for row in rows if "validation_loss" in row}
    best = min(losses, key=losses.get)
    assert max(losses) == best + 10 < 60
    model = small_model()
    model.load_state_dict(weights)
    assert mean_loss(model, [strange()]) == pytest.approx(losses[best], rel=ONE_PASS)
    end = ending(rows, STOPPING, 60)
    assert end.step == best + 10
    assert end.fields["validation_loss"] == losses[best]
    assert end.fields["stopped_early"]["weights_of_step"] == best


def test_an_early_end_does_not_depend_on_kills(tmp_path):
    weights, rows = overfit(tmp_path / "whole")
    last = rows[-1]["step"]
    for step in (4, 6, last - 4, last - 1):
        with pytest.raises(Killed):
            overfit(tmp_path / "killed", die_before=step)
    for _ in range(2):  # the second time as after a kill between the last step and the export
        again, again_rows = overfit(tmp_path / "killed")
        assert again_rows == rows
        assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_the_best_validation_is_by_more_than_the_least_gain():
    rows = [{"step": step, "validation_loss": loss} for step, loss in ((1, 3.0), (2, 2.95), (3, 2.8), (4, 2.75))]
    assert best_validation([{"step": 1, "loss": 3.0}], 0.1) is None
    best = best_validation(rows, 0.1)
    assert (best.step, best.since) == (3, 1)
    assert is_over(best, 1) and not is_over(best, 2) and not is_over(None, 1)
    assert ending(rows, STOPPING, 4).fields == {}


def test_a_loss_that_stays_high_ends_the_run_and_a_short_spike_does_not():
    guard = SpikeGuard(Guard(factor=2.0, window=20, steps=3))
    assert not any(guard.add(loss) for loss in (9.0, 4.0, 3.0, 3.0, 3.0, 7.0, 7.0, 3.0, 7.0))
    copy = SpikeGuard(Guard(factor=2.0, window=20, steps=3))
    copy.load(guard.state())
    for resumed in (guard, copy):
        assert [resumed.add(loss) for loss in (7.0, 7.0)] == [False, True]
    off = SpikeGuard(Guard(factor=None, window=20, steps=3))
    assert not any(off.add(loss) for loss in [1.0] * 20 + [1e9] * 20)


@pytest.mark.parametrize("die_before", [None, 24])
def test_a_spike_names_the_last_checkpoint_before_it(tmp_path, die_before):
    recipe = changed(RECIPE, checkpoint_interval=6, keep_last=5, spike_guard={"factor": 1.5, "window": 30, "steps": 4})

    def batch(k):
        nonlocal die_before
        if k == die_before:
            die_before = None
            raise Killed
        return strange((51, 128)) if k >= 22 else counting_batch(k)

    def run():
        with open_state(tmp_path / "state", {}, 0) as state:
            fit(small_model(), 60, state, batch=batch, recipe=recipe)

    if die_before:
        with pytest.raises(Killed):
            run()
    with pytest.raises(AbovoError, match=r"steps 23 to 26, .*the last good checkpoint is of step 18"):
        run()
