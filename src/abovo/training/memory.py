"""Turn a GPU's memory into the number of rows that go through the model at once."""

import gc
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from abovo.provenance.files import read_json, write_json
from abovo.training.engines import Engine
from abovo.training.loss import Batch
from abovo.training.world import World

# The part of a GPU's memory that may be planned for; the rest is for what fragments and for other libraries.
PLANNED = 0.9


def rows_that_fit(few: tuple[int, int], more: tuple[int, int], available: int, most: int) -> int:
    """The largest power of two of rows, at most `most`, whose peak memory is expected within `available` bytes.

    `few` and `more` are measured peaks as (rows, bytes); memory grows in proportion to the rows.
    """
    each = max(1.0, (more[1] - few[1]) / (more[0] - few[0]))
    fit = (available - (few[1] - few[0] * each)) / each
    rows = 1
    while 2 * rows <= min(fit, most):
        rows *= 2
    return rows


def find_rows(build: Callable[[], Engine], batch: Batch, world: World) -> int:
    """Rows per micro-batch by measuring: an engine of its own makes a step, then gradients of 2 and of 4 rows.

    Nothing runs out of memory, so no process is left waiting for one that did. `batch` is any global batch.
    """
    most = -(-len(batch.ids) // world.size)
    if most < 4:
        return most
    available = int(torch.cuda.get_device_properties(world.device).total_memory * PLANNED)
    with torch.random.fork_rng():
        engine = build()
        _peak(engine, batch, 1, world)  # gradients and the optimizer's state exist from here on
        few, more = _peak(engine, batch, 2, world), _peak(engine, batch, 4, world)
    del engine
    gc.collect()
    torch.cuda.empty_cache()
    return min(world.gather(rows_that_fit(few, more, available, most)))


def _peak(engine: Engine, batch: Batch, rows: int, world: World) -> tuple[int, int]:
    engine.micro_batch = rows
    torch.cuda.reset_peak_memory_stats(world.device)
    engine.gradient(Batch(batch.ids[:rows], batch.counts[:rows]), max(1, batch.targets))
    engine.clip(None)
    engine.step(0.0, 1)
    return rows, torch.cuda.max_memory_allocated(world.device)


def remembered(file: Path | None, place: Sequence[object], world: World, find: Callable[[], int]) -> int:
    """What `find` returned when it was last called at this `place` (GPU, processes, ...); `file` is rank 0's."""
    known: dict[str, int] = read_json(file) if file is not None and file.exists() else {}
    key = ", ".join(map(str, place))
    rows: int | None = world.share(known.get(key))
    if rows is None:
        rows = find()
        if file is not None:
            write_json(file, {**known, key: rows})
    return rows
