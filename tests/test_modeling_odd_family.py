"""A family of unusual make needs its file and its row, and nothing else knows of it."""

import pytest
import torch
from odd_family import ODD, OddSettings
from small_training import CPU, ENGINE, ROWS, WORLD, changed, counting_batch, fit, recipe

from abovo.modeling.build import build_model
from abovo.modeling.cost import count_adapter_parameters, count_parameters, training_flops_per_token
from abovo.modeling.family import FAMILIES, family_of, open_model, shape_of
from abovo.settings.tuning import Adapters
from abovo.training.adapters import add_adapters, merge_adapters
from abovo.training.blocks import prepare_model
from abovo.training.engines import build_engine
from abovo.training.groups import groups_of
from abovo.training.state import open_state

VALUES = {"family": "odd", "width": 16, "inner": 24}


@pytest.fixture
def shape(monkeypatch):
    monkeypatch.setitem(FAMILIES.entries, "odd", "odd_family:ODD")
    return shape_of(VALUES)


@pytest.fixture
def model(shape):
    return build_model(shape, 128, 16, seed=1)


def test_settings_of_a_model_are_those_of_its_family(shape):
    assert shape == OddSettings(**VALUES) and shape.half_life == 8.0


def test_formulas_need_no_model_and_agree_with_it(shape, model):
    counted = count_parameters(shape, 128)
    assert counted.total == sum(parameter.numel() for parameter in model.parameters())
    assert counted.tables == model.table.weight.numel()
    assert training_flops_per_token(shape, 128, 16) == 3 * (2 * (4 * 16 * 24 + 128 * 16) + 4 * 16 * 16)
    adapters = Adapters(rank=3, alpha=6)
    adapted = add_adapters(model, adapters, seed=1)
    trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    assert trained == count_adapter_parameters(shape, adapters) and family_of(adapted) is ODD


def test_optimizers_tell_its_parameters_apart(model):
    groups = groups_of(model)
    assert [len(group) for group in (groups.matrices, groups.output, groups.others)] == [4, 0, 2]
    assert any(parameter is model.table.weight for parameter in groups.others)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_trains_and_goes_on_bit_for_bit(shape, tmp_path, kind):
    own = recipe(optimizer={"kind": kind, "learning_rate": 0.05}, checkpoint_interval=4)

    def run(folder, steps):
        model = build_model(shape, 128, 16, seed=1)
        with open_state(folder, {}, 0) as state:
            return fit(model, steps, state, recipe=own), model

    rows, whole = run(tmp_path / "whole", 12)
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[0] == pytest.approx(4.85, abs=0.1) and losses[-1] < losses[0] - 0.3
    with open_state(tmp_path / "cut", {}, 0) as state:
        stop_after(8, build_model(shape, 128, 16, seed=1), own, state)
    _, resumed = run(tmp_path / "cut", 12)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def stop_after(step, model, own, state):
    def batch(k):
        if k == step:
            raise InterruptedError
        return counting_batch(k)

    with pytest.raises(InterruptedError):
        fit(model, 12, state, batch=batch, recipe=own)


def test_recomputed_blocks_have_the_same_gradients(shape):
    found = []
    for recomputed in (False, True):
        model = build_model(shape, 128, 16, seed=1).double()
        engine = build_engine(model, recipe(activation_checkpointing=recomputed), WORLD, ENGINE, ROWS)
        batch = counting_batch(0)
        found.append((engine.gradient(batch, batch.targets).item(), engine.clip(None).item()))
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_blocks_in_no_list_are_compiled_on_a_gpu(model):
    prepare_model(model, recipe(), torch.device("cuda"))
    assert all(block._compiled_call_impl is not None for block in (model.early, model.late))


def test_decoding_by_its_state_equals_the_whole_row(model):
    ids, model = torch.arange(12)[None] % 7, model.double()
    whole = ODD.step(model, ids).hidden
    first = ODD.step(model, ids[:, :5], keep=True)
    rest = ODD.step(model, ids[:, 5:], first.cache)
    assert torch.allclose(torch.cat([first.hidden, rest.hidden], 1), whole, atol=1e-12)


def test_saved_and_opened_again_it_is_the_same_with_its_buffer(model, tmp_path):
    merged = merge_adapters(add_adapters(model, Adapters(rank=2, alpha=4), seed=1))
    ODD.save(merged, tmp_path)
    again = open_model(tmp_path)
    assert type(again).__name__ == "OddForCausalLM"
    for name, value in merged.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert again.early.keeps.item() == pytest.approx(0.5 ** (1 / 8))


def test_scaled_residual_init_reaches_its_writers(shape):
    plain, scaled = (build_model(changed(shape, residual_init=how), 128, 16, seed=1) for how in ("normal", "scaled"))
    assert torch.equal(scaled.late.leave.weight, plain.late.leave.weight * 2**-0.5)
    assert torch.equal(scaled.late.enter.weight, plain.late.enter.weight)
    assert plain.table.weight.device == CPU
