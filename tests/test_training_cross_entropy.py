"""The chunked cross-entropy is the plain one, in value and in gradients, for any size."""

import pytest
import torch
import torch.nn.functional as F
from rounding import BFLOAT16, ONE_PASS, TIGHT, near

from abovo.training import cross_entropy
from abovo.training.cross_entropy import summed_cross_entropy


@pytest.mark.parametrize(("kind", "bound"), [(torch.float32, ONE_PASS), (torch.float64, TIGHT)])
@pytest.mark.parametrize(("rows", "vocabulary"), [(1, 5), (127, 300), (128, 300), (400, 300), (0, 300)])
def test_value_and_gradients_equal_the_plain_cross_entropy(monkeypatch, rows, vocabulary, kind, bound):
    monkeypatch.setitem(cross_entropy.CHUNK_BYTES, "cpu", 1)
    random = torch.Generator().manual_seed(rows)
    hidden = torch.randn(rows, 16, generator=random, dtype=kind, requires_grad=True)
    weight = torch.randn(vocabulary, 16, generator=random, dtype=kind, requires_grad=True)
    targets = torch.randint(0, vocabulary, (rows,), generator=random)
    expected = F.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    (expected * 3).backward()
    gradients = hidden.grad.clone(), weight.grad.clone()
    hidden.grad = weight.grad = None
    value = summed_cross_entropy(hidden, weight, targets)
    (value * 3).backward()
    assert value.dtype == kind
    for own, other in ((value, expected), (hidden.grad, gradients[0]), (weight.grad, gradients[1])):
        assert near(own, other, bound)


@pytest.mark.parametrize("z_loss", [1e-4, 0.3])
def test_z_loss_has_the_gradient_of_its_penalty_and_leaves_the_value_alone(monkeypatch, z_loss):
    monkeypatch.setitem(cross_entropy.CHUNK_BYTES, "cpu", 1)
    random = torch.Generator().manual_seed(3)
    hidden = torch.randn(200, 16, generator=random, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(300, 16, generator=random, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 300, (200,), generator=random)
    logits = hidden @ weight.T
    plain = F.cross_entropy(logits, targets, reduction="sum")
    expected = torch.autograd.grad(plain + z_loss * logits.logsumexp(1).square().sum(), (hidden, weight))
    value = summed_cross_entropy(hidden, weight, targets, z_loss)
    found = torch.autograd.grad(value, (hidden, weight))
    assert near(value, plain, TIGHT)
    assert all(near(own, other, TIGHT) for own, other in zip(found, expected, strict=True))
    without = torch.autograd.grad(summed_cross_entropy(hidden, weight, targets), (hidden, weight))
    assert not near(found[0], without[0], 1e-4)


def test_bf16_products_stay_close_and_scores_stay_float32():
    random = torch.Generator().manual_seed(1)
    hidden, weight = torch.randn(50, 16, generator=random), torch.randn(300, 16, generator=random, requires_grad=True)
    targets = torch.randint(0, 300, (50,), generator=random)
    exact = summed_cross_entropy(hidden, weight, targets)
    with torch.autocast("cpu", torch.bfloat16):
        value = summed_cross_entropy(hidden, weight, targets)
    value.backward()
    assert value.dtype == torch.float32
    assert weight.grad.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=5 * BFLOAT16)


def test_nothing_is_kept_for_the_backward_pass_in_evaluation():
    weight = torch.randn(300, 16, requires_grad=True)
    with torch.no_grad():
        value = summed_cross_entropy(torch.randn(50, 16), weight, torch.zeros(50, dtype=torch.int64))
    assert not value.requires_grad
