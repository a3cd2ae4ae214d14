"""A tiny model, a recipe and batches that count: training runs of a second, for tests and the programs they start."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from abovo.modeling.build import build_model
from abovo.modeling.family import shape_of
from abovo.settings.engine import Engine
from abovo.settings.keys import build, plain
from abovo.settings.training import Training
from abovo.training.engine_torch import TorchEngine
from abovo.training.engines import build_engine
from abovo.training.loop import _validate, train
from abovo.training.loss import Batch
from abovo.training.task import Task
from abovo.training.world import World

CPU = torch.device("cpu")
WORLD = World(0, 1, CPU)
ENGINE = Engine(kind="torch")
# Of a batch (sequences)
ROWS = 8


class Killed(Exception):
    """In the place of a kill, where the process is to live on."""


def changed(settings, **changes):
    """Equal settings but for some values; a part of the settings takes a mapping of what changes in it."""
    return build(type(settings), _laid_over(plain(settings), changes))


def _laid_over(values, changes):
    return values | {
        name: _laid_over(values.get(name) or {}, value) if isinstance(value, Mapping) else plain(value)
        for name, value in changes.items()
    }


def shape(**changes):
    """The shape of a model of one block, for a vocabulary of any size."""
    values = {
        "family": "qwen3", "hidden_size": 32, "layers": 1, "heads": 2, "key_value_heads": 1, "head_dim": 16,
        "feed_forward": 64, "tied_embeddings": True,
    }  # fmt: skip
    return shape_of(values | changes)


def integrators(context, **changes):
    """The shape of a model of the family inl with this context, of two blocks."""
    values = {
        "family": "inl", "hidden_size": 32, "layers": 2, "feed_forward": 64, "integration_steps": 3,
        "controller_size": 8, "context": context, "heads": 2 if context == "attention" else None,
    }  # fmt: skip
    return shape_of(values | changes)


def recipe(**changes):
    """A training recipe of defaults, but for what short runs on a CPU need and for `changes`."""
    values = {
        "optimizer": {"kind": "adamw", "learning_rate": 0.01, "muon_momentum_warmup_steps": 10},
        "schedule": {"kind": "wsd", "warmup_steps": 5},
        "precision": "fp32",
        "micro_batch_sequences": 4,
        "log_interval": 5,
        "validation_interval": 1000,
        "checkpoint_interval": 1000,
        "spike_guard": {"factor": None},
    }
    return build(Training, _laid_over(values, changes))


SHAPE, RECIPE = shape(), recipe()
# With checkpoints and validations every few steps
SHORT = recipe(checkpoint_interval=5, validation_interval=8, micro_batch_sequences=2)


def of_optimizer(kind, recipe=RECIPE):
    return changed(recipe, optimizer={"kind": kind})


def small_model(**changes):
    """Of 128 ids and rows of 16, with the same first weights always."""
    return build_model(shape(**changes), 128, 16, seed=1)


def stock_model():
    """A model of the same size of a class that is none of our families, without dropout."""
    from transformers import AutoModelForCausalLM, GPT2Config

    torch.manual_seed(1)
    quiet = dict.fromkeys(("attn_pdrop", "resid_pdrop", "embd_pdrop"), 0.0)
    config = GPT2Config(
        vocab_size=128, n_positions=16, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0, **quiet
    )
    return AutoModelForCausalLM.from_config(config)


def whole(ids):
    return Batch(ids, torch.ones_like(ids, dtype=torch.bool))


def counting_batch(k, rows=ROWS, length=16, modulus=50):
    starts = torch.arange(k * rows, (k + 1) * rows)[:, None] * 7
    return whole((starts + torch.arange(length)) % modulus)


def mixed_batch(k):
    """As `counting_batch`; in every other batch some rows hold two texts, which are kept apart."""
    batch = counting_batch(k)
    firsts = torch.zeros_like(batch.counts)
    firsts[::3, 6] = bool(k % 2)
    return replace(batch, firsts=firsts)


def weighed_batch(k):
    """As `mixed_batch`; in two of three batches losses of integrators weigh something beside the cross-entropy."""
    return replace(mixed_batch(k), auxiliary={"speed": 0.5, "distance": 0.1} if k % 3 else None)


def task(steps, batch=counting_batch, recipe=RECIPE):
    return Task("test", batch, lambda: [batch(10_000)], steps, 128, recipe)


def fit(model, steps, state, batch=counting_batch, recipe=RECIPE):
    """Train in one process; the rows of metrics.jsonl."""
    train(task(steps, batch, recipe), TorchEngine(model, recipe, WORLD, "none"), WORLD, state)
    return state.rows()


def mean_loss(model, batches):
    """What the trainer's validation says of these batches, in one process."""
    held_out = Task("test", counting_batch, lambda: batches, 1, 128, RECIPE)
    return _validate(held_out, TorchEngine(model, RECIPE, WORLD, "none"), WORLD)["validation_loss"]


def steps_of(model, recipe, count):
    """Loss and gradient norm of each of the first steps, without the loop around them."""
    torch.set_num_threads(1)
    torch.manual_seed(7)
    engine, found = build_engine(model, recipe, WORLD, ENGINE, ROWS), []
    for step in range(1, count + 1):
        batch = counting_batch(step)
        found += [(engine.gradient(batch, batch.targets).item(), engine.clip(1.0).item())]
        engine.step(1.0, step)
    return found
