"""Steps of a model whose blocks are compiled for this processor, for tests of what is kept of that.

python tests/compiled_steps.py STATE ROWS...    one step for each number of rows; prints what was compiled and found
"""

import json
import sys
import time
from pathlib import Path

import torch
from small_training import ENGINE, ROWS, WORLD, counting_batch, recipe, small_model
from torch._dynamo.utils import counters

from abovo.modeling.family import base_of, family_of
from abovo.training.compiling import keep_compiled
from abovo.training.engines import build_engine


def main(state, *sizes):
    keep_compiled(Path(state))
    torch.set_num_threads(1)
    model = small_model(layers=2)
    for block in family_of(model).blocks(base_of(model)):
        block.compile()
    engine, seconds, graphs = build_engine(model, recipe(), WORLD, ENGINE, ROWS), [], []
    for step, rows in enumerate(map(int, sizes), 1):
        engine.micro_batch, batch = rows, counting_batch(step, rows)
        begun = time.perf_counter()
        engine.gradient(batch, batch.targets)
        engine.clip(1.0)
        engine.step(1.0, step)
        seconds.append(round(time.perf_counter() - begun, 2))
        graphs.append(counters["stats"]["unique_graphs"])
    print(json.dumps({"seconds": seconds, "graphs": graphs, "hits": counters["inductor"]["fxgraph_cache_hit"]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
