"""A training run for torchrun: what the tests of several processes start.

torchrun --standalone --nproc-per-node 2 tests/two_processes.py FOLDER STRATEGY STEPS [KILL_BEFORE]
"""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import torch
from test_training_meaning import RECIPE, SHAPE, counting_batch, task

from abovo.console.launch import run, script_parser
from abovo.modeling.families import build_model
from abovo.training.engines import TorchEngine
from abovo.training.loop import train
from abovo.training.state import open_state
from abovo.training.world import open_world

SHORT = {
    **RECIPE,
    "checkpoint_interval": 5,
    "validation_interval": 8,
    "micro_batch_sequences": 2,
    "activation_checkpointing": False,
    "compile": "auto",
}


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
    with open_world({"kind": "torch", "device": "cpu", "processes": processes}, threads=1) as world:

        def batch(k):
            if k == options.kill_before and world.rank == world.size - 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return counting_batch(k)

        held_out = [replace(counting_batch(k), source=name) for name, k in (("one", 10_000), ("two", 10_001))]
        trained = replace(task(steps, batch, SHORT), validation=lambda: held_out)
        engine = TorchEngine(build_model(SHAPE, 128, 16, seed=1), SHORT, world, strategy)
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
