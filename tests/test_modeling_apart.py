"""Texts of one row that are kept apart have the values and gradients that each has alone, in every way of computing."""

import pytest
import torch
from odd_family import ODD, OddSettings
from rounding import ONE_PASS, TIGHT, near
from small_training import CPU, ENGINE, ROWS, WORLD, changed, integrators, recipe, shape

from abovo.modeling.apart import sees_apart, sight_of
from abovo.modeling.build import build_model
from abovo.modeling.family import FAMILIES, family_of, open_model
from abovo.settings.tuning import Adapters
from abovo.training.adapters import add_adapters
from abovo.training.blocks import prepare_model
from abovo.training.engines import build_engine
from abovo.training.loss import Batch, SummedLoss

LENGTH = 24
# Of three rows: texts at these ids; one row is one text, one has padding at its end, which counts nothing.
BEGINS = [(0, 5, 17), (0,), (0, 9)]
EXACT = 1e-12


def packed():
    """Rows of several texts, in float64 or not; every id but a text's first is a target."""
    ids = torch.randint(0, 120, (3, LENGTH), generator=torch.Generator().manual_seed(5))
    firsts = torch.zeros_like(ids, dtype=torch.bool)
    for row, begins in enumerate(BEGINS):
        firsts[row, list(begins)] = True
    counts = ~firsts
    counts[2, 20:] = False
    return Batch(ids, counts, firsts=firsts)


def alone():
    """The same texts, each a row of its own, without what follows them."""
    batch = packed()
    for row, begins in enumerate(BEGINS):
        for begin, end in zip(begins, (*begins[1:], LENGTH), strict=True):
            yield Batch(batch.ids[row : row + 1, begin:end], batch.counts[row : row + 1, begin:end])


def built(family="qwen3"):
    """A model of a family, or of integrators with the context of this name."""
    heads = {"layers": 2, "heads": 4, "key_value_heads": 2}
    settings = shape(family=family, **heads) if family in FAMILIES else integrators(family)
    model = build_model(settings, 128, LENGTH, seed=1)
    for name, weight in model.named_parameters():
        if name.endswith("k_proj.bias"):  # it moves all scores of an id alike: its gradient is nothing but rounding
            weight.requires_grad_(False)
    return model


def loss_and_gradients(model, batches, loss):
    """The summed loss over batches, and its gradient in every weight that trains."""
    model.zero_grad()
    total = sum(loss(*batch.arguments(CPU)) for batch in batches)
    total.backward()
    return [total.detach(), *(weight.grad.clone() for weight in model.parameters() if weight.requires_grad)]


def assert_near(found, expected, bound):
    assert len(found) == len(expected) > 2
    for own, other in zip(found, expected, strict=True):
        assert near(own, other, bound)


def test_an_id_sees_its_own_text_up_to_itself():
    places, visible = sight_of(torch.tensor([[False, False, True, False, True]]))
    assert places.tolist() == [[0, 1, 0, 1, 0]]
    assert visible.int().tolist() == [
        [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]
    ]


@pytest.mark.parametrize("family", ["qwen3", "llama"])
@pytest.mark.parametrize("form", ["training", "sdpa", "eager"])
def test_texts_of_a_row_have_the_loss_and_gradients_of_each_alone(family, form):
    model = built(family).double()
    model.config._attn_implementation = "sdpa" if form == "training" else form
    loss = SummedLoss(model, 0.0)
    if form != "training":
        for block in model.model.layers:  # transformers' own form
            block.__class__ = type(block).__mro__[2] if form == "sdpa" else type(block)
    together = loss_and_gradients(model, [packed()], loss)
    assert_near(together, loss_and_gradients(model, alone(), loss), EXACT if form == "training" else 10 * ONE_PASS)
    uncut = Batch(packed().ids, packed().counts)
    assert not near(together[1], loss_and_gradients(model, [uncut], loss)[1], 0.01)


@pytest.mark.parametrize("family", ["qwen3", "llama", "causal_mean", "attention"])
def test_float32_keeps_texts_apart_to_its_rounding(family):
    model = built(family)
    loss = SummedLoss(model, 0.0)
    assert_near(loss_and_gradients(model, [packed()], loss), loss_and_gradients(model, alone(), loss), 100 * ONE_PASS)


@pytest.mark.parametrize("family", ["qwen3", "causal_mean", pytest.param("attention", marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", ["lora", "dora"])
def test_adapters_and_blocks_that_are_computed_again_keep_texts_apart(method, family):
    adapted = add_adapters(built(family), Adapters(rank=2, alpha=4, dropout=0.0, method=method), seed=2).double()
    model = prepare_model(adapted.train(), recipe(activation_checkpointing=True), CPU)
    loss = SummedLoss(model, 0.0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(3))
    bound = EXACT if method == "lora" else TIGHT
    assert_near(loss_and_gradients(model, [packed()], loss), loss_and_gradients(model, alone(), loss), bound)


@pytest.fixture
def forgotten():
    """The compiler takes a second shape for one that changes, and would build other graphs in later tests."""
    yield
    torch.compiler.reset()


@pytest.mark.usefixtures("forgotten")
def test_blocks_that_keep_texts_apart_are_one_graph_for_the_compiler():
    model = built()
    loss = SummedLoss(model, 0.0)
    for block in model.model.layers:
        block.compile(backend="aot_eager", fullgraph=True)
    found = loss_and_gradients(model, [packed()], loss)
    plain = built()
    expected = loss_and_gradients(plain, alone(), SummedLoss(plain, 0.0))
    assert_near(found, expected, 100 * ONE_PASS)
    # and rows of one text go on without a mask
    uncut = Batch(packed().ids, packed().counts)
    again = loss_and_gradients(plain, [uncut], SummedLoss(plain, 0.0))
    assert_near(loss_and_gradients(model, [uncut], loss), again, 100 * ONE_PASS)


def test_half_precision_keeps_texts_apart():
    model = built()
    loss, batch = SummedLoss(model, 0.0), packed()
    other = Batch(batch.ids.clone(), batch.counts, firsts=batch.firsts)
    other.ids[0, :5] = 3
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        one, two = (model_states(loss, found) for found in (batch, other))
    assert torch.equal(one[0, 5:], two[0, 5:]) and not torch.equal(one[0, :5], two[0, :5])


def model_states(loss, batch):
    return loss.family.tree(loss.model, batch.ids, *sight_of(batch.firsts))


def test_rows_of_one_text_each_take_no_mask():
    batch = packed()
    assert batch.rows(slice(1, 2)).arguments(CPU)[2] is None
    assert batch.rows(slice(0, 2)).arguments(CPU)[2] is not None
    assert Batch(batch.ids, batch.counts).arguments(CPU)[2] is None
    # rows that fill up a part are one text, and count nothing
    filled = batch.rows(slice(2, 4))
    assert filled.firsts.shape == filled.ids.shape and not filled.firsts[1].any() and not filled.counts[1].any()


def test_an_engine_takes_rows_apart_in_any_micro_batch():
    found = []
    for rows in (1, 2, 3):
        engine = build_engine(built().double(), changed(recipe(), micro_batch_sequences=rows), WORLD, ENGINE, ROWS)
        batch = packed()
        found.append((engine.gradient(batch, batch.targets).item(), engine.clip(None).item()))
        assert engine.evaluate(batch) / batch.targets == pytest.approx(found[-1][0], rel=TIGHT)
    assert found[1] == pytest.approx(found[0], rel=TIGHT) and found[2] == pytest.approx(found[0], rel=TIGHT)


def test_models_say_by_trial_whether_they_keep_texts_apart(gpt2_folder, monkeypatch):
    monkeypatch.setitem(FAMILIES.entries, "odd", "odd_family:ODD")
    stock = open_model(gpt2_folder)
    assert sees_apart(built()) and sees_apart(stock)
    odd = build_model(OddSettings(family="odd", width=16, inner=24), 128, 16, seed=1)
    assert family_of(odd) is ODD and not sees_apart(odd)
    loss = SummedLoss(stock.double(), 0.0)
    together = loss(*packed().arguments(CPU)).item()
    assert together == pytest.approx(sum(loss(*one.arguments(CPU)).item() for one in alone()), rel=1e-5)


def test_texts_longer_than_a_window_are_seen_through_it():
    from transformers import MistralConfig, MistralForCausalLM, Qwen3Config, Qwen3ForCausalLM

    small = {
        "vocab_size": 120, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": LENGTH, "sliding_window": 4,
    }  # fmt: skip
    torch.manual_seed(1)
    model = MistralForCausalLM(MistralConfig(**small)).eval()
    batch = packed()
    assert sees_apart(model) and batch.firsts is not None
    together = family_of(model).logits(model, batch.ids, sight_of(batch.firsts))
    for row, begins in enumerate(BEGINS):
        for begin, end in zip(begins, (*begins[1:], LENGTH), strict=True):
            text = model(input_ids=batch.ids[row : row + 1, begin:end], use_cache=False).logits
            assert near(together[row : row + 1, begin:end], text, 1e-5)
    odd = Qwen3Config(**small, head_dim=8, use_sliding_window=True, max_window_layers=1)
    assert not sees_apart(Qwen3ForCausalLM(odd))
