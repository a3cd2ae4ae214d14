"""What training must mean: each of these tests fails on the bug that it names."""

import math

import pytest
import torch
import torch.nn.functional as F

from abovo.modeling.families import build_model
from abovo.training.engines import TorchEngine
from abovo.training.loop import Task, _validate, train
from abovo.training.loss import Batch, summed_loss
from abovo.training.state import open_state
from abovo.training.world import World

SHAPE = {
    "family": "qwen3",
    "hidden_size": 32,
    "layers": 1,
    "heads": 2,
    "key_value_heads": 1,
    "head_dim": 16,
    "feed_forward": 64,
    "tied_embeddings": True,
    "rope_theta": 10000,
    "initializer_range": 0.02,
}
RECIPE = {
    "optimizer": {
        "kind": "adamw",
        "learning_rate": 0.01,
        "betas": [0.9, 0.95],
        "epsilon": 1e-8,
        "weight_decay": 0.1,
        "weight_decay_schedule": "constant",
        "muon_learning_rate": 0.02,
        "muon_momentum": 0.95,
        "muon_precision": "auto",
        "muon_momentum_warmup_steps": 10,
    },
    "schedule": {"kind": "wsd", "warmup_steps": 5, "decay_share": 0.5, "decay_shape": "linear", "final_share": 0.0},
    "gradient_clip": 1.0,
    "z_loss": 0.0,
    "precision": "fp32",
    "micro_batch_sequences": 4,
    "log_interval": 5,
    "validation_interval": 1000,
    "checkpoint_interval": 1000,
    "keep_last": 2,
    "keep_every": None,
    "early_stopping": {"patience": None, "least_gain": 0.0},
    "spike_guard": {"factor": None, "window": 500, "steps": 50},
    "samples": {"prompts": [], "interval": 500, "new_tokens": 32},
    "wandb": None,
}
CPU = torch.device("cpu")


def whole(ids):
    return Batch(ids, torch.ones_like(ids, dtype=torch.bool))


def mean_loss(model, batches):
    """What the trainer's validation says of these batches, in one process."""
    world = World(0, 1, CPU)
    task = Task("test", counting_batch, lambda: batches, 1, 128, RECIPE)
    return _validate(task, TorchEngine(model, RECIPE, world, "none"), world)["validation_loss"]


def counting_batch(k, rows=8, length=16, modulus=50):
    starts = torch.arange(k * rows, (k + 1) * rows)[:, None] * 7
    return whole((starts + torch.arange(length)) % modulus)


def task(steps, batch=counting_batch, recipe=RECIPE):
    return Task("test", batch, lambda: [batch(10_000)], steps, 128, recipe)


def fit(model, steps, state, batch=counting_batch, recipe=RECIPE):
    """Train in one process; the rows of metrics.jsonl."""
    world = World(0, 1, CPU)
    train(task(steps, batch, recipe), TorchEngine(model, recipe, world, "none"), world, state)
    return state.rows()


@pytest.fixture
def model():
    torch.set_num_threads(2)
    return build_model(SHAPE, 128, 16, seed=1)


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
    logits = model(input_ids=ids).logits
    by_hand = sum(
        -F.log_softmax(logits[row, position].double(), -1)[ids[row, position + 1]].item()
        for row in range(3)
        for position in range(15)
    )
    assert summed_loss(model, whole(ids)).item() == pytest.approx(by_hand, rel=1e-5)
    assert mean_loss(model, [whole(ids)]) == pytest.approx(by_hand / 45, rel=1e-5)


def test_loss_before_training_is_the_logarithm_of_the_vocabulary(model, tmp_path):
    random = torch.randint(0, 128, (8, 16), generator=torch.Generator().manual_seed(0))
    with open_state(tmp_path / "state", {}, 0) as state:
        rows = fit(model, 1, state, batch=lambda k: whole(random))
    assert rows[0]["step"] == 1
    assert rows[0]["loss"] == pytest.approx(math.log(128), abs=0.1)


def test_training_loss_and_evaluation_loss_agree_on_the_same_batch(model, tmp_path):
    before = mean_loss(model, [counting_batch(0)])
    with open_state(tmp_path / "state", {}, 0) as state:
        rows = fit(model, 1, state)
    assert rows[0]["loss"] == pytest.approx(before, abs=1e-5)


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_logits_do_not_depend_on_later_tokens_or_other_rows(family):
    model = build_model({**SHAPE, "family": family, "layers": 2}, 128, 16, seed=1).eval()
    ids = torch.randint(0, 128, (4, 16), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 128
    one, other = model(input_ids=ids).logits, model(input_ids=changed).logits
    assert torch.equal(one[:, :9], other[:, :9])
    assert not torch.equal(one[:, 9:], other[:, 9:])
    rest = ids.clone()
    rest[1:] = (rest[1:] + 1) % 128
    assert torch.allclose(one[0], model(input_ids=rest).logits[0], atol=1e-6)


def test_only_targets_that_count_are_scored(model):
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
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_micro_batches_do_not_change_the_step(tmp_path):
    """Also with rows that count unequally: the gradient is of the global batch's mean, not a mean of means."""

    def uneven(k):
        batch = counting_batch(k)
        counts = torch.arange(16)[None] >= torch.arange(8)[:, None] * 2
        return Batch(batch.ids, counts)

    weights = []
    for rows in (8, 3, 1):
        model = build_model(SHAPE, 128, 16, seed=1)
        recipe = {**RECIPE, "micro_batch_sequences": rows}
        with open_state(tmp_path / f"state{rows}", {}, 0) as state:
            fit(model, 10, state, batch=uneven, recipe=recipe)
        weights.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
    assert torch.allclose(weights[0], weights[1], atol=1e-5)
    assert torch.allclose(weights[0], weights[2], atol=1e-5)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_optimizer_learns(kind, tmp_path):
    model = build_model(SHAPE, 128, 16, seed=1)
    recipe = {**RECIPE, "optimizer": {**RECIPE["optimizer"], "kind": kind}}
    with open_state(tmp_path / "state", {}, 0) as state:
        rows = fit(model, 40, state, recipe=recipe)
    assert rows[-1]["validation_loss"] < 2.5
