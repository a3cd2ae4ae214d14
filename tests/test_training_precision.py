"""Half precision trains as float32 does, and an overflow costs no step and no batch."""

from functools import partial

import pytest
import torch
from rounding import BFLOAT16, assert_rows_near, nudged_model
from small_training import WORLD, Killed, changed, counting_batch, of_optimizer, small_model, task

from abovo.errors import AbovoError
from abovo.settings.engine import Engine
from abovo.training import precision
from abovo.training.device import choose_device, resolve_precision
from abovo.training.engine_torch import TorchEngine
from abovo.training.loop import train
from abovo.training.precision import LossScale
from abovo.training.state import open_state

STEPS = 24


def run(folder, kind, optimizer="adamw", die_before=None, change=lambda model: model):
    """(rows, weights, engine) of a run in the precision `kind`, from whatever `folder` holds."""
    torch.set_num_threads(1)
    recipe = changed(of_optimizer(optimizer), precision=kind, checkpoint_interval=5)
    model = change(small_model())
    engine = TorchEngine(model, recipe, WORLD, "none")

    def batch(k):
        if k == die_before:
            raise Killed
        return counting_batch(k)

    with open_state(folder, {}, 0) as state:
        train(task(STEPS, batch, recipe), engine, WORLD, state)
        return state.rows(), {name: tensor.clone() for name, tensor in model.state_dict().items()}, engine


@pytest.mark.parametrize("kind", ["bf16", "fp16"])
def test_half_precision_has_the_losses_of_float32(tmp_path, kind):
    exact, _, _ = run(tmp_path / "fp32", "fp32")
    rows, _, engine = run(tmp_path / kind, kind)
    nudges = [partial(nudged_model, seed=seed, unit=BFLOAT16) for seed in (1, 2, 3)]
    others = [run(tmp_path / f"nudged{number}", "fp32", change=nudge)[0] for number, nudge in enumerate(nudges)]
    assert_rows_near(rows, exact, others)
    assert all(parameter.dtype == torch.float32 for parameter in engine.model.parameters())
    assert rows != exact


def test_an_overflow_costs_neither_a_step_nor_a_batch(tmp_path, monkeypatch):
    """A run that begins with a factor far too large is, to the bit, the run that begins with the one it comes to."""
    monkeypatch.setattr(precision, "FIRST", 2.0**30)
    rows, weights, engine = run(tmp_path / "large", "fp16")
    assert 1 < engine.scale.value < 2.0**30
    monkeypatch.setattr(precision, "FIRST", engine.scale.value)
    same_rows, same, _ = run(tmp_path / "right", "fp16")
    assert rows == same_rows
    assert all(torch.equal(weights[name], same[name]) for name in weights)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_stopped_fp16_goes_on_bit_for_bit_with_its_loss_scale(tmp_path, monkeypatch, optimizer):
    monkeypatch.setattr(precision, "FIRST", 2.0**24)
    monkeypatch.setattr(precision, "GROWTH_STEPS", 4)
    rows, weights, engine = run(tmp_path / "whole", "fp16", optimizer)
    with pytest.raises(Killed):
        run(tmp_path / "killed", "fp16", optimizer, die_before=13)
    same_rows, same, other = run(tmp_path / "killed", "fp16", optimizer)
    assert engine.scale.state() == other.scale.state()
    assert rows == same_rows
    assert all(torch.equal(weights[name], same[name]) for name in weights)


def test_loss_scale_halves_at_an_overflow_and_doubles_after_its_time(monkeypatch):
    monkeypatch.setattr(precision, "GROWTH_STEPS", 3)
    scale, norms, discarded = LossScale("fp16"), iter([float("inf"), float("nan"), 2.0]), []
    assert scale.until_finite(lambda: (0.5, next(norms)), lambda: discarded.append(1)) == (0.5, 2.0)
    assert (scale.value, len(discarded)) == (2.0**14, 2)
    for _ in range(3):
        scale.passed()
    assert scale.value == 2.0**15


def test_a_phase_in_fp16_after_one_in_bf16_begins_with_the_first_scale():
    scale = LossScale("fp16")
    scale.load(LossScale("bf16").state())
    assert scale.value == LossScale("fp16").value == 2.0**16


def test_gradients_that_no_scale_makes_finite_are_told(monkeypatch):
    monkeypatch.setattr(precision, "FIRST", 4.0)
    attempts = []
    _, norm = LossScale("fp16").until_finite(lambda: (0.5, attempts.append(1) or float("inf")), lambda: None)
    assert (norm, len(attempts)) == (float("inf"), 3)
    assert LossScale("bf16").until_finite(lambda: (0.5, float("inf")), pytest.fail) == (0.5, float("inf"))


def test_auto_is_bf16_where_a_card_has_it_and_fp16_on_older_ones(monkeypatch):
    def of(device, native):
        def has_bf16(including_emulation=True):
            return native or including_emulation

        monkeypatch.setattr(torch.cuda, "is_bf16_supported", has_bf16)
        return resolve_precision("auto", torch.device(device))

    assert of("cuda", native=True) == "bf16"
    assert of("cuda", native=False) == "fp16"
    assert of("cpu", native=False) == of("mps", native=False) == "fp32"
    assert resolve_precision("bf16", torch.device("cuda")) == "bf16"


@pytest.mark.parametrize(
    ("wanted", "cuda", "mps", "chosen"),
    [("auto", True, False, "cuda"), ("auto", False, False, "cpu"), ("auto", False, True, "cpu"),
     ("mps", False, True, "mps"), ("cpu", True, True, "cpu"), ("cuda", True, False, "cuda")],
)  # fmt: skip
def test_device_is_the_one_asked_for(wanted, cuda, mps, chosen):
    assert choose_device(Engine(kind="torch", device=wanted), cuda=cuda, mps=mps) == chosen


@pytest.mark.parametrize(
    ("values", "mps", "words"),
    [
        ({"device": "cuda"}, True, "no GPU is visible to torch"),
        ({"device": "mps"}, False, "no Apple GPU is visible to torch"),
        ({"device": "mps", "strategy": "fsdp"}, True, "an Apple GPU trains in one process, by the engine torch"),
        ({"device": "mps", "strategy": "ddp", "processes": 2}, True, "an Apple GPU trains in one process"),
        ({"device": "mps", "kind": "deepspeed", "strategy": "zero2"}, True, "an Apple GPU trains in one process"),
    ],
)
def test_a_device_that_cannot_carry_out_an_engine_is_refused(values, mps, words):
    with pytest.raises(AbovoError, match=words):
        choose_device(Engine(**{"kind": "torch"} | values), cuda=False, mps=mps)
