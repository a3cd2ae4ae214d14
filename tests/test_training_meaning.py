"""What training must mean: each of these tests fails on the bug that it names."""

import math

import pytest
import torch
import torch.nn.functional as F
from rounding import TIGHT, farthest
from small_training import RECIPE, changed, counting_batch, fit, mean_loss, of_optimizer, small_model, whole

from abovo.training.loss import Batch, summed_loss
from abovo.training.state import open_state


@pytest.fixture
def model():
    torch.set_num_threads(2)
    return small_model()


def test_labels_are_shifted_once(model, tmp_path):
    """A model trained on 0 1 2 3 ... learns the next number, not the one after it, and counts on by itself."""
    with open_state(tmp_path / "state", {}, 0) as state:
        rows = fit(model, 150, state)
    assert rows[-1]["validation_loss"] < 0.05
    model.eval()
    text = torch.arange(20, 28)[None]
    for _ in range(6):
        text = torch.cat([text, model(input_ids=text).logits[:, -1:].argmax(-1)], 1)
    assert text[0].tolist() == list(range(20, 34))


def test_loss_is_the_cross_entropy_of_the_next_id(model):
    ids = torch.randint(0, 128, (3, 16), generator=torch.Generator().manual_seed(0))
    model = model.double()
    logits = model(input_ids=ids).logits
    by_hand = sum(
        -F.log_softmax(logits[row, position], -1)[ids[row, position + 1]].item()
        for row in range(3)
        for position in range(15)
    )
    assert summed_loss(model, whole(ids)).item() == pytest.approx(by_hand, rel=TIGHT)
    assert mean_loss(model, [whole(ids)]) == pytest.approx(by_hand / 45, rel=TIGHT)


def test_loss_before_training_is_the_logarithm_of_the_vocabulary(model, tmp_path):
    random = torch.randint(0, 128, (8, 16), generator=torch.Generator().manual_seed(0))
    with open_state(tmp_path / "state", {}, 0) as state:
        rows = fit(model, 1, state, batch=lambda k: whole(random))
    assert [row["step"] for row in rows] == [0, 1, 1]
    assert rows[0]["validation_loss"] == pytest.approx(math.log(128), abs=0.1)
    assert rows[1]["loss"] == pytest.approx(math.log(128), abs=0.1)


def test_training_loss_and_evaluation_loss_agree_on_the_same_batch(model, tmp_path):
    model = model.double()
    before = mean_loss(model, [counting_batch(0)])
    with open_state(tmp_path / "state", {}, 0) as state:
        rows = fit(model, 1, state)
    assert rows[1]["loss"] == pytest.approx(before, rel=TIGHT)


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_logits_do_not_depend_on_later_tokens_or_other_rows(family):
    model = small_model(family=family, layers=2).double().eval()
    ids = torch.randint(0, 128, (4, 16), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 128
    one, other = model(input_ids=ids).logits, model(input_ids=changed).logits
    assert torch.equal(one[:, :9], other[:, :9])
    assert not torch.equal(one[:, 9:], other[:, 9:])
    rest = ids.clone()
    rest[1:] = (rest[1:] + 1) % 128
    assert torch.allclose(one[0], model(input_ids=rest).logits[0], rtol=0, atol=TIGHT)


def test_only_targets_that_count_are_scored(model):
    model = model.double()
    ids = counting_batch(0).ids
    counts = torch.zeros_like(ids, dtype=torch.bool)
    counts[:, 8:] = True
    other = ids.clone()
    loss = summed_loss(model, Batch(ids, counts))
    loss.backward()
    assert Batch(ids, counts).targets == 8 * 8
    other[:, :1] = ids[:, :1]
    logits = model(input_ids=ids).logits[:, :-1]
    expected = F.cross_entropy(logits[:, 7:].flatten(0, 1), ids[:, 8:].flatten(), reduction="sum")
    assert loss.item() == pytest.approx(expected.item(), rel=TIGHT)


def test_micro_batches_do_not_change_the_step(tmp_path):
    """Also with rows that count unequally: the gradient is of the global batch's mean, not a mean of means."""

    def uneven(k):
        batch = counting_batch(k)
        counts = torch.arange(16)[None] >= torch.arange(8)[:, None] * 2
        return Batch(batch.ids, counts)

    weights = []
    for rows in (8, 3, 1):
        model = small_model().double()
        with open_state(tmp_path / f"state{rows}", {}, 0) as state:
            fit(model, 10, state, batch=uneven, recipe=changed(RECIPE, micro_batch_sequences=rows))
        weights.append(model.state_dict())
    assert farthest(weights[0], weights[1]) < TIGHT
    assert farthest(weights[0], weights[2]) < TIGHT


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_optimizer_learns(kind, tmp_path):
    model = small_model()
    with open_state(tmp_path / "state", {}, 0) as state:
        rows = fit(model, 40, state, recipe=of_optimizer(kind))
    assert rows[-1]["validation_loss"] < 2.5


def test_what_training_starts_from_is_measured_at_step_0(model, tmp_path):
    start = mean_loss(small_model(), [counting_batch(10_000)])
    with open_state(tmp_path / "state", {}, 0) as state:
        first = fit(model, 2, state)[0]
    assert (first["step"], first["tokens"]) == (0, 0)
    assert first["validation_loss"] == pytest.approx(start, rel=TIGHT)
