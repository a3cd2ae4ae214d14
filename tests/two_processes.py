"""A training run in float64 for torchrun: what the tests of several processes start.

torchrun --standalone --nproc-per-node 2 tests/two_processes.py FOLDER STRATEGY STEPS [KILL_BEFORE]

STRATEGY is that of an engine, or one with an optimizer or a model of no family of ours: fsdp-muon, fsdp-stock.
"""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import torch
from small_training import SHORT, mixed_batch, small_model, stock_model, task

from abovo.console.launch import run, script_parser
from abovo.settings.engine import Engine
from abovo.training.engine_torch import TorchEngine
from abovo.training.loop import train
from abovo.training.state import open_state
from abovo.training.world import open_world


def arguments():
    parser = script_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("strategy")
    parser.add_argument("steps", type=int)
    parser.add_argument("kill_before", type=int, nargs="?", default=-1)
    return parser


def main(options) -> None:
    folder, name, steps = options.folder, options.strategy, options.steps
    strategy, _, more = name.partition("-")
    recipe = replace(SHORT, optimizer=replace(SHORT.optimizer, kind="muon" if more == "muon" else "adamw"))
    model = stock_model() if more == "stock" else small_model()
    engine_settings = Engine(
        kind="torch", device="cpu", processes=int(os.environ.get("WORLD_SIZE", "1")), strategy=strategy
    )
    with open_world(engine_settings, threads=1) as world:

        def batch(k):
            if k == options.kill_before and world.rank == world.size - 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return mixed_batch(k)

        held_out = [replace(mixed_batch(k), source=source) for source, k in (("one", 10_000), ("two", 10_001))]
        trained = replace(task(steps, batch, recipe), validation=lambda: held_out)
        engine = TorchEngine(model.double(), recipe, world, strategy)
        if world.leads:
            with open_state(folder / "state", {}, 0) as state:
                train(trained, engine, world, state)
                rows = state.rows()
            torch.save(engine.weights(), folder / f"weights-{name}.pt")
            (folder / f"rows-{name}.json").write_text(json.dumps(rows))
        else:
            train(trained, engine, world, None)
            engine.weights()


if __name__ == "__main__":
    run(main, arguments())
