"""Training runs in float64 for torchrun: what the tests of several processes start. They take turns in one launch.

torchrun --standalone --nproc-per-node 2 tests/two_processes.py FOLDER STRATEGIES STEPS [KILL_BEFORE]

A strategy is that of an engine, and may carry an optimizer or a model of no family of ours: fsdp-muon, fsdp-stock. What
a run leaves lies in FOLDER/STRATEGY.
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
    parser.add_argument("strategies", type=lambda text: text.split(","))
    parser.add_argument("steps", type=int)
    parser.add_argument("kill_before", type=int, nargs="?", default=-1)
    return parser


def main(options) -> None:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        with open_world(engine_of("ddp", processes), threads=1) as world:
            for name in options.strategies:
                one(name, options, world)
        return
    for name in options.strategies:
        with open_world(engine_of(name, processes), threads=1) as world:
            one(name, options, world)


def engine_of(name, processes) -> Engine:
    return Engine(kind="torch", device="cpu", processes=processes, strategy=name.partition("-")[0])


def one(name, options, world) -> None:
    folder, steps = options.folder / name, options.steps
    strategy, _, more = name.partition("-")
    recipe = replace(SHORT, optimizer=replace(SHORT.optimizer, kind="muon" if more == "muon" else "adamw"))
    model = stock_model() if more == "stock" else small_model()

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
        torch.save(engine.weights(), folder / "weights.pt")
        (folder / "rows.json").write_text(json.dumps(rows))
    else:
        train(trained, engine, world, None)
        engine.weights()


if __name__ == "__main__":
    run(main, arguments())
