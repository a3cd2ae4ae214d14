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
    monkeypatch.setattr(cross_entropy, "LOGIT_BYTES", 1)
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


def by_hand(rows, vocabulary, z_loss):
    """(hidden, weight, targets) in float64, their plain cross-entropy, and the gradients of it and of the z-loss."""
    random = torch.Generator().manual_seed(rows)
    hidden, weight = (
        torch.randn(n, 16, generator=random, dtype=torch.float64, requires_grad=True) for n in (rows, vocabulary)
    )
    targets = torch.randint(0, vocabulary, (rows,), generator=random)
    logits = hidden @ weight.T
    plain = F.cross_entropy(logits, targets, reduction="sum")
    gradients = torch.autograd.grad(plain + z_loss * logits.logsumexp(1).square().sum(), (hidden, weight))
    return (hidden, weight, targets), plain, gradients


@pytest.mark.parametrize("z_loss", [1e-4, 0.3])
def test_z_loss_has_the_gradient_of_its_penalty_and_leaves_the_value_alone(monkeypatch, z_loss):
    monkeypatch.setattr(cross_entropy, "LOGIT_BYTES", 1)
    states, plain, expected = by_hand(200, 300, z_loss)
    value = summed_cross_entropy(*states, z_loss)
    found = torch.autograd.grad(value, states[:2])
    assert near(value, plain, TIGHT)
    assert all(near(own, other, TIGHT) for own, other in zip(found, expected, strict=True))
    without = torch.autograd.grad(summed_cross_entropy(*states), states[:2])
    assert not near(found[0], without[0], 1e-4)


def as_on_a_gpu(monkeypatch, score):
    """The way of a GPU, on this processor; chunks smaller than the rows of these tests."""
    monkeypatch.setattr(cross_entropy, "_way", lambda device, vocabulary: (score(), 96))


@pytest.mark.parametrize(
    "score",
    [
        pytest.param(lambda: cross_entropy.score_in_one_pass, id="as it is written"),
        pytest.param(lambda: cross_entropy.compiled_score(), id="compiled", marks=pytest.mark.compiles),
    ],
)
@pytest.mark.parametrize("z_loss", [0.0, 1e-3])
@pytest.mark.parametrize(("rows", "vocabulary"), [(1, 5), (96, 333), (230, 333), (0, 333), (100, 5000)])
def test_one_pass_gives_values_and_gradients_of_the_plain_cross_entropy(monkeypatch, score, z_loss, rows, vocabulary):
    as_on_a_gpu(monkeypatch, score)
    states, plain, expected = by_hand(rows, vocabulary, z_loss)
    value = summed_cross_entropy(*states, z_loss)
    assert near(value, plain, TIGHT)
    found = torch.autograd.grad(value, states[:2])
    assert all(near(own, other, TIGHT) for own, other in zip(found, expected, strict=True))
    with torch.no_grad():
        assert near(summed_cross_entropy(*states, z_loss), plain, TIGHT)


@pytest.mark.compiles
def test_one_pass_over_bf16_logits_is_as_exact_as_scoring_them_in_float32(monkeypatch):
    """The gradients are off by what the type of the products costs, the sum by less: it is kept in float32."""
    random = torch.Generator().manual_seed(1)
    hidden, weight = (torch.randn(n, 32, generator=random).double().requires_grad_() for n in (200, 700))
    targets = torch.randint(0, 700, (200,), generator=random)

    def differences(states, matrix):
        own = [tensor.detach().float().requires_grad_() for tensor in (states, matrix)]
        with torch.autocast("cpu", torch.bfloat16):
            value = summed_cross_entropy(*own, targets)
        value.backward()
        exact = [tensor.detach().requires_grad_() for tensor in (states, matrix)]
        plain = F.cross_entropy(exact[0] @ exact[1].T, targets, reduction="sum")
        plain.backward()
        parts = [(a.grad - b.grad).norm() / b.grad.norm() for a, b in zip(own, exact, strict=True)]
        return [abs(value.item() / plain.item() - 1), *map(float, parts)]

    by_passes = differences(hidden, weight)
    as_on_a_gpu(monkeypatch, cross_entropy.compiled_score)
    in_one = differences(hidden, weight)
    assert max(by_passes) < 4 * BFLOAT16
    for one, other in zip(in_one, by_passes, strict=True):
        assert one < 1.5 * other + 1e-6


@pytest.mark.compiles
def test_chunks_of_any_length_share_one_kernel(monkeypatch):
    as_on_a_gpu(monkeypatch, cross_entropy.compiled_score)
    torch._dynamo.reset()
    weight = torch.randn(50, 8, requires_grad=True)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for rows in (300, 96, 250, 41, 77):
        summed_cross_entropy(torch.randn(rows, 8), weight, torch.zeros(rows, dtype=torch.int64)).backward()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - before == 1


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
