"""What saves memory or time changes no result: recomputed blocks, rows per micro-batch, SDPA."""

import json
from dataclasses import replace
from itertools import chain, repeat

import pytest
import torch
import torch.nn.functional as F
from rounding import TIGHT
from small_training import ENGINE, ROWS, SHORT, WORLD, changed, counting_batch, small_model, steps_of

from abovo.errors import AbovoError
from abovo.modeling.qwen3 import QWEN3
from abovo.settings.tuning import Adapters
from abovo.training import memory
from abovo.training.adapters import add_adapters
from abovo.training.blocks import prepare_model
from abovo.training.engines import build_engine
from abovo.training.memory import fastest_rows, find_rows, remembered, rows_that_fit


def losses(recipe, lora=False):
    """Losses and gradient norms of five steps in float64, where rounding cannot grow to what is looked for."""
    model = small_model(layers=3)
    if lora:
        model = add_adapters(model, Adapters(rank=2, alpha=4, dropout=0.1), seed=1)
    return torch.tensor(steps_of(model.double(), recipe, 5))


@pytest.mark.parametrize("lora", [False, True])
def test_recomputed_blocks_change_no_result(lora):
    recomputed = losses(changed(SHORT, activation_checkpointing=True), lora)
    assert torch.allclose(recomputed, losses(SHORT, lora), rtol=TIGHT)


def test_recomputed_blocks_keep_less():
    """Counted in what autograd saves for the backward pass."""

    def saved(recomputed):
        recipe = changed(SHORT, activation_checkpointing=recomputed)
        model = prepare_model(small_model(layers=3), recipe, WORLD.device)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            model.train().model(input_ids=counting_batch(0).ids)
        return sum(sizes)

    assert saved(True) < saved(False) / 2


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_rows_per_micro_batch_change_no_result(rows):
    assert torch.allclose(losses(changed(SHORT, micro_batch_sequences=rows)), losses(SHORT), rtol=TIGHT)


def test_nothing_is_compiled_on_a_cpu():
    model = small_model(layers=3)
    build_engine(model, SHORT, WORLD, ENGINE, ROWS)
    assert all(module._compiled_call_impl is None for module in model.modules())


def test_blocks_are_compiled_on_a_gpu():
    model = small_model(layers=3)
    prepare_model(model, SHORT, torch.device("cuda"))
    assert all(block._compiled_call_impl is not None for block in QWEN3.blocks(model))
    assert len(QWEN3.blocks(model)) == 3
    prepare_model(other := small_model(layers=3), changed(SHORT, compile="never"), torch.device("cuda"))
    assert all(block._compiled_call_impl is None for block in QWEN3.blocks(other))


def test_attention_is_causal_sdpa_without_a_mask(monkeypatch):
    """So that a GPU takes its flash kernel: a mask in memory would forbid it."""
    calls, real = [], F.scaled_dot_product_attention

    def watched(*arguments, **keys):
        calls.append((keys.get("attn_mask"), keys.get("is_causal")))
        return real(*arguments, **keys)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    losses(SHORT)
    assert set(calls) == {(None, True)}


def test_rows_that_fit_are_within_memory_and_batch():
    # 100 bytes for the model and 10 for each row
    assert rows_that_fit((2, 120), (4, 140), 100 + 10 * 70, 1000) == 70
    assert rows_that_fit((2, 120), (4, 140), 100 + 10 * 64, 1000) == 64
    assert rows_that_fit((2, 120), (4, 140), 100 + 10 * 70, 40) == 40
    assert rows_that_fit((2, 120), (4, 140), 105, 1000) == 1


@pytest.mark.parametrize(
    ("rows", "most", "seconds", "tried", "found"),
    [
        (64, 64, lambda n: 4.0 + n, [2, 4, 8, 16, 32, 64], 64),  # each pass has its cost
        (64, 16, lambda n: 4.0 + n, [2, 4, 8, 16], 16),  # as many as fit
        (64, 64, lambda n: n * (1.2 if n > 8 else 1.0), [2, 4, 8, 16, 32, 64], 2),  # equally fast: the smallest
        (64, 64, lambda n: n + 0.2, [2, 4, 8, 16, 32, 64], 8),  # 2.2 % slower than 64 at once, 4 rows are 4.7 %
        (96, 96, lambda n: 4.0 + n, [2, 4, 8, 16, 32, 64, 96], 96),  # 64 would take two passes
        (6, 3, lambda n: 4.0 + n, [2], 2),
        (6, 1, lambda n: 4.0 + n, [], 1),
        (2, 2, lambda n: 1.0, [2], 2),
    ],
)
def test_the_rows_that_are_taken_make_a_step_fastest(rows, most, seconds, tried, found):
    asked = []
    assert fastest_rows(lambda n: asked.append(n) or seconds(n), rows, most) == found
    assert asked == tried


@pytest.mark.parametrize(("limit", "found"), [(20, 16), (2, 2), (1, 1)])
def test_the_search_ends_with_what_does_not_fit(limit, found):
    asked = []

    def measure(rows):
        asked.append(rows)
        if rows > limit:
            raise torch.OutOfMemoryError
        return 1.0 + rows

    assert fastest_rows(measure, 128, 128) == found
    assert len([rows for rows in asked if rows > limit]) == 1


def test_auto_is_a_fixed_number_of_rows_on_a_cpu():
    engine = build_engine(small_model(), changed(SHORT, micro_batch_sequences="auto"), WORLD, ENGINE, ROWS)
    assert engine.micro_batch == 8


def test_rows_are_found_by_measuring_and_remembered_for_the_same_gpus(tmp_path, monkeypatch):
    """With the counters of a GPU that has room for 5 rows; all else is real."""
    peaks = chain([0, 120, 140], repeat(140))
    measured = []

    def seconds(engine, batch, rows, world):
        measured.append(rows)
        return real(engine, batch, rows, world)

    real = memory._seconds
    monkeypatch.setattr(memory, "_seconds", seconds)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: next(peaks))
    room = type("", (), {"total_memory": 150 / 0.9 + 1})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: room)
    random, file = torch.get_rng_state(), tmp_path / "micro_batch.json"

    def find():
        return find_rows(lambda: build_engine(small_model(), SHORT, WORLD, ENGINE, ROWS), counting_batch(0), WORLD)

    found = remembered(file, ("GPU", 1, "none"), WORLD, find)
    assert found in measured and measured == [2, 4]
    assert torch.equal(random, torch.get_rng_state())
    assert remembered(file, ("GPU", 1, "none"), WORLD, pytest.fail) == found
    assert remembered(file, ("GPU", 2, "ddp"), WORLD, lambda: 16) == 16
    assert json.loads(file.read_text()) == {"GPU, 1, none": found, "GPU, 2, ddp": 16}


@pytest.fixture
def no_clocks(monkeypatch):
    """The search without a GPU's counters."""
    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: type("", (), {"total_memory": 100}))


def engine_with_room(rows):
    """An engine that runs out of memory where more rows than these go through it."""
    engine = build_engine(small_model(), SHORT, WORLD, ENGINE, ROWS)
    real = engine.gradient

    def gradient(batch, targets):
        if len(batch.ids) > rows:
            raise torch.OutOfMemoryError
        return real(batch, targets)

    engine.gradient = gradient
    return engine


@pytest.mark.parametrize("room", [1, 2, 3])
def test_a_gpu_with_room_for_few_rows_takes_those(no_clocks, room):
    assert find_rows(lambda: engine_with_room(room), counting_batch(0), WORLD) == min(room, 2)


def test_one_of_several_processes_without_memory_ends_them_all(no_clocks):
    with pytest.raises(AbovoError, match="micro_batch_sequences: a GPU has no memory for 4 rows"):
        memory._pass(engine_with_room(2), counting_batch(0), 4, replace(WORLD, size=2))


def test_compiled_blocks_meet_one_shape_in_samples_and_validation():
    engine = build_engine(small_model(), changed(SHORT, micro_batch_sequences=8), WORLD, ENGINE, ROWS)
    batch, shapes = counting_batch(0), []
    few, many = batch.rows(slice(0, 3)), torch.cat([batch.ids, batch.ids])[:11]
    plain = [engine.predict(many, 4), engine.predict(few.ids, 4)], engine.evaluate(few)
    engine.compiled = True
    engine.loss.register_forward_pre_hook(lambda module, arguments: shapes.append(len(arguments[0])))
    padded = [engine.predict(many, 4), engine.predict(few.ids, 4)], engine.evaluate(few)
    assert set(shapes) == {8}
    for one, other in zip(plain[0], padded[0], strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-5)
    assert padded[1] == pytest.approx(plain[1], rel=1e-5)
