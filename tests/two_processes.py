"""A training run in float64 for torchrun: what the tests of several processes start.

torchrun --standalone --nproc-per-node 2 tests/two_processes.py FOLDER STRATEGY STEPS [KILL_BEFORE]
"""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import torch
from small_training import SHORT, counting_batch, small_model, task

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
    folder, strategy, steps = options.folder, options.strategy, options.steps
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    with open_world(Engine(kind="torch", device="cpu", processes=processes), threads=1) as world:

        def batch(k):
            if k == options.kill_before and world.rank == world.size - 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return counting_batch(k)

        held_out = [replace(counting_batch(k), source=name) for name, k in (("one", 10_000), ("two", 10_001))]
        trained = replace(task(steps, batch, SHORT), validation=lambda: held_out)
        engine = TorchEngine(small_model().double(), SHORT, world, strategy)
        if world.leads:
            with open_state(folder / "state", {}, 0) as state:
                train(trained, engine, world, state)
                rows = state.rows()
            torch.save(engine.weights(), folder / f"weights-{strategy}.pt")
            (folder / f"rows-{strategy}.json").write_text(json.dumps(rows))
        else:
            train(trained, engine, world, None)
            engine.weights()


if __name__ == "__main__":
    run(main, arguments())
