"""Training runs under ZeRO for torchrun: what the tests of DeepSpeed start. All stages take turns in one launch.

torchrun --standalone --nproc-per-node 2 tests/zero_processes.py FOLDER STRATEGIES STEPS

A strategy may carry a precision, offloading, adapters, an optimizer, a model of integrators, which then has auxiliary
losses, or of no family of ours: zero3-bf16, zero2-offload, zero3-dora, zero1-muon, zero3-inl, zero3-stock. One that
ends in alone is not stopped. One that ends in dies has its processes killed when the first checkpoint stands; started
again, it goes on from there.
"""

import json
import os
import signal
import time
from pathlib import Path

import torch
from small_training import (
    ROWS,
    SHORT,
    Killed,
    changed,
    integrators,
    mixed_batch,
    of_optimizer,
    small_model,
    stock_model,
    task,
    weighed_batch,
)

from abovo.console.launch import run, script_parser
from abovo.modeling.build import build_model
from abovo.modeling.generate import Limits, write
from abovo.settings.engine import Engine
from abovo.settings.tuning import Adapters
from abovo.training import precision
from abovo.training.adapters import add_adapters
from abovo.training.engines import build_engine
from abovo.training.loop import train
from abovo.training.samples import EngineReader
from abovo.training.state import open_state
from abovo.training.world import open_world

BEGINNINGS = [[20, 21, 22], [5], list(range(30, 43))]


def arguments():
    parser = script_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("strategies", type=lambda text: text.split(","))
    parser.add_argument("steps", type=int)
    return parser


def model_of(options):
    if "inl" in options:
        return build_model(integrators("causal_mean"), 128, 16, seed=1)
    model = stock_model() if "stock" in options else small_model()
    method = next((one for one in ("lora", "dora") if one in options), None)
    return add_adapters(model, Adapters(rank=3, alpha=6, dropout=0.0, method=method), seed=1) if method else model


def batch_of(options):
    return weighed_batch if "inl" in options else mixed_batch


def recipe_of(options):
    recipe = of_optimizer("muon" if "muon" in options else "adamw", SHORT)
    return changed(recipe, precision=next((kind for kind in ("bf16", "fp16") if kind in options), "fp32"))


def train_once(folder, strategy, steps, world, kill_before=None):
    """From whatever `folder` holds; the rows of the metrics, the weights and what the model writes on rank 0."""

    def batch(k):
        if k == kill_before:
            raise Killed
        if k == SHORT.checkpoint_interval + 2 and fresh and "dies" in options:
            die_after(folder / f"state/step-{SHORT.checkpoint_interval:09d}")
        return batch_of(options)(k)

    name, *options = strategy.split("-")
    fresh = world.share(not list(folder.glob("state/step-*")))
    offload = "offload" in options
    settings = Engine(kind="deepspeed", processes=world.size, strategy=name, offload_optimizer=offload)
    recipe = recipe_of(options)
    engine = build_engine(model_of(options), recipe, world, settings, ROWS)
    assert engine.engine.train_batch_size() == ROWS  # reckoned by DeepSpeed from what it was told
    if not world.leads:
        train(task(steps, batch, recipe), engine, world, None)
        return None, engine.weights(), written(engine, world)
    with open_state(folder / "state", {}, 0) as state:
        train(task(steps, batch, recipe), engine, world, state)
        return state.rows(), engine.weights(), written(engine, world)


def die_after(checkpoint):
    """End this process by SIGKILL when the checkpoint is on the disk."""
    while not checkpoint.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def written(engine, world):
    """What follows BEGINNINGS, by all processes together."""
    limits = Limits(new_tokens=8, context=16, stops=())
    return [one.ids for one in write(EngineReader(engine, len(BEGINNINGS), 16), BEGINNINGS, limits, agree=world.share)]


def main(options) -> None:
    from deepspeed.accelerator.cpu_accelerator import CPU_Accelerator

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    # torch computes in float16 on any processor; DeepSpeed would rather not. And a factor that overflows at once.
    CPU_Accelerator.is_fp16_supported = lambda self: True
    precision.FIRST = 2.0**30
    with open_world(Engine(kind="deepspeed", device="cpu", processes=processes), threads=1) as world:
        for strategy in options.strategies:
            folder = options.folder / strategy
            whole = train_once(folder / "whole", strategy, options.steps, world)
            lives = {"whole": whole}
            if not strategy.endswith(("alone", "dies")):
                try:
                    train_once(folder / "killed", strategy, options.steps, world, 7)
                except Killed:
                    world.share()
                lives["again"] = train_once(folder / "killed", strategy, options.steps, world)
            if world.leads:
                for name, (rows, weights, texts) in lives.items():
                    torch.save(weights, folder / f"{name}.pt")
                    (folder / f"{name}-written.json").write_text(json.dumps(texts))
                    (folder / f"{name}.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    run(main, arguments())
