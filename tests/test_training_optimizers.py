"""Optimizers do what their papers say, to the parameters that they are meant for."""

import pytest
import torch
from rounding import BFLOAT16, FACTOR, TIGHT, nudged
from small_training import changed, of_optimizer, small_model

from abovo.training.muon import Muon, orthogonalize
from abovo.training.optimizers import Optimizers

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


@pytest.fixture
def model():
    model = small_model().double()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return model


def shrunk(model, kind, decay):
    """By which factor a step without a gradient shrinks each parameter."""
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    Optimizers(model, of_optimizer(kind).optimizer).step(0.5, 10, decay)
    return {
        name: (parameter.detach().norm() / before[name].norm()).item() for name, parameter in model.named_parameters()
    }


@pytest.mark.parametrize("decay", [1.0, 0.25, 0.0])
@pytest.mark.parametrize(("kind", "rate"), [("adamw", 0.01), ("muon", 0.02)])
def test_only_matrices_of_the_blocks_decay_and_by_the_schedule(model, kind, rate, decay):
    for name, factor in shrunk(model, kind, decay).items():
        decays = "proj" in name
        assert factor == pytest.approx(1 - 0.5 * rate * 0.1 * decay if decays else 1.0, abs=TIGHT), name


def test_orthogonalisation_moves_every_singular_value_as_its_polynomial_does():
    matrices = torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = orthogonalize(matrices, COEFFICIENTS, 5, 1e-7)
    for matrix, moved in zip(matrices, found, strict=True):
        left, values, right = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
        for _ in range(5):
            values = COEFFICIENTS[0] * values + COEFFICIENTS[1] * values**3 + COEFFICIENTS[2] * values**5
        assert torch.allclose(moved, left @ torch.diag(values) @ right, atol=TIGHT)
        assert values.min() > 0.5 and values.max() < 1.3
    tall = orthogonalize(matrices.mT.contiguous(), COEFFICIENTS, 5, 1e-7)
    assert torch.allclose(tall.mT, found, atol=TIGHT)


MUON = changed(of_optimizer("muon").optimizer, muon_momentum=0.9, muon_momentum_warmup_steps=0)


def torchs(parameters):
    """torch's own class, with the values of the recipe."""
    values = {"lr": MUON.muon_learning_rate, "momentum": 0.9, "weight_decay": MUON.weight_decay}
    return torch.optim.Muon(parameters, nesterov=True, adjust_lr_fn="original", **values)


def ours(precision):
    return lambda parameters: Muon(parameters, changed(MUON, muon_precision=precision))


def muon_steps(kind, start, gradients):
    """The weights and the optimizer's state after a step on each of the gradients."""
    parameters = [torch.nn.Parameter(tensor.clone()) for tensor in start]
    muon = kind(parameters)
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = gradient.clone()
        muon.step()
    return parameters, muon.state_dict()


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_muon_makes_the_steps_of_torch_s_to_bfloat16_s_precision(precision):
    """As near as the same steps on gradients that are off by a unit of bfloat16."""
    random = torch.Generator().manual_seed(2)
    shapes = [(32, 64), (64, 32), (32, 64), (48, 48)]
    start = [torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes]
    gradients = [[torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes] for _ in range(5)]
    moved = [[nudged(gradient, random, BFLOAT16) for gradient in step] for step in gradients]
    theirs, their_state = muon_steps(torchs, start, gradients)
    own, own_state = muon_steps(ours(precision), start, gradients)
    exact, off = (muon_steps(ours("fp32"), start, steps)[0] for steps in (gradients, moved))
    for a, b, c, near in zip(theirs, own, exact, off, strict=True):
        assert (a - b).norm() < FACTOR * (near - c).norm()
    assert own_state["param_groups"] == their_state["param_groups"]
    for number, state in their_state["state"].items():
        found = own_state["state"][number]["momentum_buffer"]
        assert torch.allclose(state["momentum_buffer"], found, rtol=0, atol=TIGHT)


def test_processors_iterate_in_float32_whatever_units_they_have(monkeypatch):
    """Equal runs are equal on any of them."""
    random = torch.Generator().manual_seed(3)
    start = [torch.randn((32, 64), generator=random)]
    gradients = [[torch.randn((32, 64), generator=random)]]
    expected = muon_steps(ours("fp32"), start, gradients)[0][0]
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert torch.equal(muon_steps(ours("auto"), start, gradients)[0][0], expected)
    assert not torch.equal(muon_steps(ours("bf16"), start, gradients)[0][0], expected)


@pytest.mark.compiles
def test_what_a_gpu_compiles_is_the_iteration():
    """The compiled form, made for this processor."""
    matrices = torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = torch.compile(orthogonalize, dynamic=False)(matrices, COEFFICIENTS, 5, 1e-7)
    assert torch.allclose(found, orthogonalize(matrices, COEFFICIENTS, 5, 1e-7), atol=TIGHT)
