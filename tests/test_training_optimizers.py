"""Optimizers do what their papers say, to the parameters that they are meant for."""

import pytest
import torch
from test_training_meaning import RECIPE, SHAPE

from abovo.modeling.families import build_model
from abovo.training.muon import Float32Muon, orthogonalize
from abovo.training.optimizers import Optimizers

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


@pytest.fixture
def model():
    model = build_model(SHAPE, 128, 16, seed=1)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return model


def shrunk(model, kind, decay):
    """By which factor a step without a gradient shrinks each parameter."""
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    Optimizers(model, {**RECIPE["optimizer"], "kind": kind}).step(0.5, 10, decay)
    return {
        name: (parameter.detach().norm() / before[name].norm()).item() for name, parameter in model.named_parameters()
    }


@pytest.mark.parametrize("decay", [1.0, 0.25, 0.0])
@pytest.mark.parametrize(("kind", "rate"), [("adamw", 0.01), ("muon", 0.02)])
def test_only_matrices_of_the_blocks_decay_and_by_the_schedule(model, kind, rate, decay):
    for name, factor in shrunk(model, kind, decay).items():
        decays = "proj" in name
        assert factor == pytest.approx(1 - 0.5 * rate * 0.1 * decay if decays else 1.0, abs=1e-6), name


def test_orthogonalisation_moves_every_singular_value_as_its_polynomial_does():
    matrices = torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(1))
    found = orthogonalize(matrices, COEFFICIENTS, 5, 1e-7)
    for matrix, moved in zip(matrices.double(), found, strict=True):
        left, values, right = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
        for _ in range(5):
            values = COEFFICIENTS[0] * values + COEFFICIENTS[1] * values**3 + COEFFICIENTS[2] * values**5
        assert torch.allclose(moved.double(), left @ torch.diag(values) @ right, atol=1e-4)
        assert values.min() > 0.5 and values.max() < 1.3
    tall = orthogonalize(matrices.mT.contiguous(), COEFFICIENTS, 5, 1e-7)
    assert torch.allclose(tall.mT, found, atol=1e-4)


def test_float32_muon_makes_the_steps_of_torch_s_to_bfloat16_s_precision():
    random = torch.Generator().manual_seed(2)
    shapes = [(32, 64), (64, 32), (32, 64), (48, 48)]
    start = [torch.randn(shape, generator=random) for shape in shapes]
    gradients = [[torch.randn(shape, generator=random) for shape in shapes] for _ in range(5)]
    ends = []
    for kind in (torch.optim.Muon, Float32Muon):
        parameters = [torch.nn.Parameter(tensor.clone()) for tensor in start]
        muon = kind(parameters, lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.1, adjust_lr_fn="original")
        for step in gradients:
            for parameter, gradient in zip(parameters, step, strict=True):
                parameter.grad = gradient.clone()
            muon.step()
        ends.append((parameters, muon.state_dict()))
    (theirs, their_state), (ours, our_state) = ends
    for a, b, first in zip(theirs, ours, start, strict=True):
        assert (a - b).norm() < 0.02 * (a - first).norm()
    assert our_state["param_groups"] == their_state["param_groups"]
    for number, state in their_state["state"].items():
        assert torch.allclose(state["momentum_buffer"], our_state["state"][number]["momentum_buffer"])


@pytest.mark.parametrize(
    ("precision", "units", "kind"),
    [("auto", True, torch.optim.Muon), ("auto", False, Float32Muon), ("fp32", True, Float32Muon)],
)
def test_processors_without_bfloat16_units_get_muon_in_float32(model, monkeypatch, precision, units, kind):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: units)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    muon, _ = Optimizers(model, {**RECIPE["optimizer"], "kind": "muon", "muon_precision": precision}).parts
    assert type(muon) is kind
