"""The INL family: its parameters, what an id may depend on, the gradient, the cache, and the integrator's stability."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from abovo.errors import AbovoError
from abovo.modeling.apart import sees_apart
from abovo.modeling.build import build_model
from abovo.modeling.cost import count_adapter_parameters, count_parameters
from abovo.modeling.family import family_of, shape_of
from abovo.modeling.generate import Limits, ModelReader, write
from abovo.modeling.inl import CONTROLLERS, Integrator
from abovo.modeling.integrator import INL
from abovo.settings.tuning import Adapters
from abovo.training.adapters import add_adapters
from abovo.training.start import trained_size

MEAN = {
    "family": "inl", "hidden_size": 32, "layers": 2, "feed_forward": 48, "integration_steps": 4, "controller_size": 8,
}  # fmt: skip
ATTENTION = {**MEAN, "context": "attention", "heads": 4}
BOTH = pytest.mark.parametrize("shape", [MEAN, ATTENTION], ids=["causal_mean", "attention"])
# (D, L, T, heads): parameters of causal_mean and, where the documents give them, of attention, with F = 4 D, C = 64
SIZES = {
    "small": (512, 6, 5, 8, 43_087_872, None),
    "medium": (768, 12, 7, 12, 111_896_832, None),
    "large": (1024, 24, 10, 16, 303_547_392, None),
    "xlarge": (1536, 32, 12, 24, 807_850_496, None),
    "3b": (2048, 40, 15, 32, 1_698_168_832, 2_201_894_912),
    "4b": (2304, 48, 15, 36, 2_524_171_008, 3_289_135_872),
}


def made(shape, seed=1, rows=128, **values):
    """A model whose controllers have learned something: at the beginning they hardly see what they are told."""
    model = build_model(shape_of({**shape, **values}), rows, 64, seed=seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if (".leave." in name or ".context." in name) and weight.ndim == 2:
                weight.mul_(20)
            if name.endswith("mu"):
                weight.normal_(std=0.1)
    return model.eval()


def some_ids(rows=3, length=24, seed=3):
    return torch.randint(1, 128, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits(model, ids, **others):
    return model(input_ids=ids, use_cache=False, **others).logits


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("context", ["causal_mean", "attention"])
def test_parameters_are_those_of_the_published_sizes(size, context):
    width, layers, steps, heads, mean, attention = SIZES[size]
    shape = {
        "family": "inl", "hidden_size": width, "layers": layers, "feed_forward": 4 * width, "integration_steps": steps,
        "context": context, "heads": heads if context == "attention" else None,
    }  # fmt: skip
    counted = count_parameters(shape_of(shape), 50257).total
    with torch.device("meta"):
        model = INL.build(shape_of(shape), 50257, 4096, None, None)
    expected = {"causal_mean": mean, "attention": attention}[context]
    assert counted == sum(parameter.numel() for parameter in model.parameters())
    assert expected in (None, counted)


@BOTH
@pytest.mark.parametrize("values", [{}, {"controllers": "independent"}, {"embedding_rank": 16}])
def test_formula_counts_every_variant(shape, values):
    model = shape_of({**shape, **values})
    built = build_model(model, 128, 64, seed=0)
    count = count_parameters(model, 128)
    assert count.total == sum(parameter.numel() for parameter in built.parameters())
    assert count.tables == sum(table.numel() for table in {*INL.embeddings(built), INL.output(built)})


@BOTH
@pytest.mark.parametrize("controllers", ["fused", "independent"])
def test_operations_are_those_that_torch_counts(shape, controllers):
    """All but the embedding's; torch counts two for each product, as the formula does."""
    settings = shape_of({**shape, "controllers": controllers})
    model, ids = build_model(settings, 128, 64, seed=0), some_ids()
    # the fused attention of processors is none that torch counts
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as forward:
        found = model(input_ids=ids, use_cache=False).logits
    expected = INL.operations(settings, 128, ids.shape[1])
    assert forward.get_total_flops() == pytest.approx(ids.numel() * sum(expected), rel=1e-6)
    with FlopCounterMode(display=False) as backward:
        found.square().mean().backward()
    # no gradient goes to what no step before made: v_0 = 0
    assert backward.get_total_flops() == pytest.approx(2 * ids.numel() * sum(expected), rel=0.06)


@BOTH
def test_a_later_id_changes_nothing_before_it_and_no_other_row(shape):
    model, ids = made(shape), some_ids()
    before, changed = logits(model, ids), ids.clone()
    changed[1, 10] = (ids[1, 10] + 1) % 128
    after = logits(model, changed)
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert torch.equal(before[1, :10], after[1, :10])
    assert (before[1, 10:] - after[1, 10:]).abs().amax(-1).min() > 1e-6


@BOTH
def test_gradient_is_that_of_finite_differences(shape):
    shape = {**shape, "hidden_size": 8, "layers": 1, "feed_forward": 8, "controller_size": 2, "integration_steps": 3}
    if "heads" in shape:
        shape["heads"] = 2
    model = made(shape, rows=16).double()
    parameters = [parameter for name, parameter in model.named_parameters() if "embed" not in name]
    names = [name for name, _ in model.named_parameters() if "embed" not in name]
    ids = torch.randint(16, (2, 5), generator=torch.Generator().manual_seed(1))

    def loss(*values):
        found = torch.func.functional_call(model, dict(zip(names, values, strict=True)), (ids,), {"use_cache": False})
        return found.logits.tanh().square().sum()

    assert torch.autograd.gradcheck(loss, parameters, fast_mode=True, atol=1e-6)


@BOTH
@pytest.mark.parametrize("how", ["recomputed", "chunked", "measured"])
def test_blocks_done_in_other_ways_have_equal_losses_and_gradients(shape, how):
    """Recomputed and chunked blocks carry out the same operations on the same numbers."""
    ids, found = some_ids(), []
    for changed in (False, True):
        model = made(shape, chunk=7 if changed and how == "chunked" else None).train()
        if changed and how == "recomputed":
            INL.recompute_blocks(model)
        model.config.use_cache = False
        if changed and how == "measured":
            x = model.model.begin(ids, torch.arange(ids.shape[1])[None])
            for block in model.model.layers:
                counted = torch.ones_like(ids, dtype=torch.bool)
                x, measures = block(x, model.model.sight(ids, None, None, None)[0], counted=counted)
                assert measures.shape == (4, 3)
            values = torch.nn.functional.linear(model.model.norm(x), INL.output(model))
        else:
            values = model(input_ids=ids).logits
        values.square().mean().backward()
        found.append([values.detach(), *(parameter.grad for parameter in model.parameters())])
    for plain, other in zip(*found, strict=True):
        torch.testing.assert_close(other, plain, rtol=1e-5, atol=1e-7)


@BOTH
def test_fused_and_independent_controllers_have_equal_values(shape):
    fused, independent = made(shape), made(shape, controllers="independent")
    state, width, name_of = fused.state_dict(), shape["hidden_size"], list(CONTROLLERS)
    for name, weight in list(state.items()):
        kept, dot, end = name.rpartition("controllers.enter_")
        if not dot:
            continue
        del state[name]
        kind, kept = end.split(".")[0], f"{kept}controllers.enter"
        first = ["context", "state", "velocity"].index(kind) * width
        for number, part in enumerate(weight.chunk(len(CONTROLLERS))):
            if end.endswith("bias"):
                state[f"{kept}.read_{name_of[number]}.bias"] = part
            else:
                whole = state.setdefault(f"{kept}.read_{name_of[number]}.weight", torch.empty(len(part), 3 * width))
                whole[:, first : first + width] = part
    independent.load_state_dict(state)
    torch.testing.assert_close(logits(independent, some_ids()), logits(fused, some_ids()), rtol=1e-5, atol=1e-6)


@BOTH
@pytest.mark.parametrize("tolerance", [None, 0.02])
def test_reading_on_from_the_cache_gives_the_logits_of_the_whole(shape, tolerance):
    model, ids = made(shape, stop_tolerance=tolerance), some_ids()
    whole, cache, found = logits(model, ids), None, []
    for part in ids.split([9, 1, 1, 6, 7], 1):
        with torch.no_grad():
            step = model(input_ids=part, past_key_values=cache, use_cache=True)
        cache = step.past_key_values
        found.append(step.logits)
    torch.testing.assert_close(torch.cat(found, 1), whole, rtol=1e-4, atol=1e-5)
    kept = sum(tensor.numel() for layer in cache.layers.values() for tensor in layer)
    each = shape["hidden_size"] + 1 if shape is MEAN else 2 * shape["hidden_size"] * ids.shape[1]
    assert kept == shape["layers"] * len(ids) * each


@BOTH
def test_padding_before_a_row_changes_none_of_its_logits(shape):
    model, ids = made(shape), some_ids(rows=3, length=13)
    ways, starts = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}, (4, 9, 0)
    mask = torch.stack([(torch.arange(13) >= start).long() for start in starts])
    padded = ids.where(mask.bool(), 5)
    found, written = (
        logits(model, padded, attention_mask=mask),
        model.generate(padded, attention_mask=mask, **ways, use_cache=True)[:, 13:],
    )
    for row, start in enumerate(starts):
        alone = ids[row : row + 1, start:]
        torch.testing.assert_close(found[row, start:], logits(model, alone)[0], rtol=1e-5, atol=1e-6)
        for kept in (True, False):
            assert torch.equal(model.generate(alone, **ways, use_cache=kept)[0, 13 - start :], written[row])


@BOTH
def test_what_is_written_from_the_cache_is_what_the_library_s_generation_writes(shape):
    model, ids = made(shape), some_ids(rows=2, length=7)
    ours = write(ModelReader(model), ids.tolist(), Limits(new_tokens=12, context=64, stops=()))
    theirs = model.generate(ids, max_new_tokens=12, do_sample=False, use_cache=True, pad_token_id=0)
    assert [one.ids for one in ours] == theirs[:, 7:].tolist()
    beams = [
        model.generate(ids, max_new_tokens=8, num_beams=3, use_cache=kept, pad_token_id=0) for kept in (True, False)
    ]
    assert torch.equal(*beams)


def test_integrator_is_stable_over_many_steps_at_its_initial_values():
    """alpha = .8 at most, dt g beta = .025 < 2 (1 + alpha): 200 steps lead to the rest position and not away."""
    shape = shape_of({**MEAN, "integration_steps": 200, "excitation": 0.0})
    block = build_model(shape, 128, 64, seed=1).model.layers[0].integrator
    assert isinstance(block, Integrator)
    u = torch.nn.functional.layer_norm(torch.randn(4, 50, 32, generator=torch.Generator().manual_seed(1)), (32,))
    with torch.no_grad():
        _, found = block(u, torch.zeros_like(u), torch.ones(4, 50, dtype=torch.bool))
    distance, speed, energy = (found / u.shape[:-1].numel()).T
    assert found.isfinite().all() and distance[-1] < 0.05 and speed[-1] < 0.05
    assert distance.max() <= 1.001 and energy[-1] < 0.1 * energy[0]


def test_initial_controllers_give_the_documents_values():
    model = build_model(shape_of({**MEAN, "hidden_size": 64, "controller_size": 64}), 128, 64, seed=1)
    integrator = model.model.layers[0].integrator
    x = torch.randn(200, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        alpha, beta, gate, velocity = integrator.controllers(integrator.controllers.fixed(x), x, torch.zeros_like(x))
    means = [alpha.sigmoid().mean(), torch.nn.functional.softplus(beta).mean(), gate.sigmoid().mean(), velocity.mean()]
    assert [round(float(value), 2) for value in means] == pytest.approx([0.8, 0.5, 0.5, 0.0], abs=0.011)
    assert integrator.mu.abs().max() == 0
    loss = model(input_ids=some_ids(), labels=some_ids(), use_cache=False).loss
    assert float(loss.detach()) == pytest.approx(math.log(128), abs=0.1)
    loss.backward()
    assert float(integrator.controllers.enter_state.weight.grad.norm()) > 0


def test_ids_that_came_to_rest_stop_and_others_go_on():
    shape = {**MEAN, "integration_steps": 30}
    whole, ids = made(shape), some_ids()
    exact = logits(whole, ids)
    close, far = (logits(made(shape, stop_tolerance=value), ids) for value in (0.02, 10.0))
    assert torch.equal(logits(made(shape, stop_tolerance=0.0), ids), exact)
    assert 0 < (close - exact).norm() < 0.7 * (far - exact).norm()
    one_step = made({**shape, "integration_steps": 1})
    torch.testing.assert_close(far, logits(one_step, ids), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        logits(made(shape, stop_tolerance=10.0, stop_after=3), ids),
        logits(made({**shape, "integration_steps": 3}), ids), rtol=1e-5, atol=1e-6,
    )  # fmt: skip


@BOTH
def test_a_block_compiles_as_one_graph(shape):
    model, ids = made(shape), some_ids()
    model.config.use_cache = False
    expected = logits(model, ids)
    for block in model.model.layers:
        block.compile(backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(logits(model, ids), expected, rtol=1e-5, atol=1e-6)


@BOTH
@pytest.mark.parametrize("controllers", ["fused", "independent"])
@pytest.mark.parametrize("targets", ["all", "context", "controllers", "feed_forward"])
def test_adapters_go_on_each_part_and_are_as_many_as_the_plan_counts(shape, controllers, targets):
    settings = shape_of({**shape, "controllers": controllers})
    adapters = Adapters(rank=4, alpha=8, targets=targets, method="dora")
    adapted = add_adapters(build_model(settings, 128, 64, seed=1), adapters, seed=1)
    assert trained_size(adapted) == count_adapter_parameters(settings, adapters) > 0


def test_adapters_for_matrices_that_this_model_has_not_are_refused():
    with pytest.raises(AbovoError, match="no linear layer that 'q_proj' names"):
        add_adapters(made(MEAN), Adapters(targets="q_proj"), seed=1)


@BOTH
def test_texts_of_a_row_are_kept_apart(shape):
    assert sees_apart(made(shape))


def test_forward_writes_nothing_into_the_model():
    model = made(MEAN).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = model(input_ids=some_ids(), use_cache=False).logits
    assert torch.equal(model(input_ids=some_ids(), use_cache=False).logits, first)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert family_of(model) is INL and not list(model.buffers())


@pytest.mark.parametrize(
    ("values", "named"),
    [({"heads": 4}, "heads"), ({"context": "attention"}, "heads"), ({"context": "attention", "heads": 5}, "divide")],
)
def test_heads_that_do_not_fit_are_refused(values, named):
    with pytest.raises(AbovoError, match=named):
        shape_of({**MEAN, **values})
    with pytest.raises(AbovoError, match=named):
        replace(shape_of(MEAN), **values)
