"""Turn a GPU's memory and speed into the number of rows that go through the model at once."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from abovo.errors import AbovoError
from abovo.provenance.files import read_json, write_json
from abovo.training.amounts import PLANNED
from abovo.training.engines import Engine
from abovo.training.loss import Batch
from abovo.training.world import World

# Rows that are this much slower than the fastest are as good, and take less memory.
CLOSE = 1.03
# Passes that come before the measured ones (the first compiles), and those.
WARM, TIMED = 2, 3


def rows_that_fit(few: tuple[int, int], more: tuple[int, int], available: int, most: int) -> int:
    """The largest number of rows, at most `most`, whose peak memory is expected within `available` bytes.

    `few` and `more` are measured peaks as (rows, bytes); memory grows in proportion to the rows.
    """
    each = max(1.0, (more[1] - few[1]) / (more[0] - few[0]))
    fit = (available - (few[1] - few[0] * each)) / each
    return int(max(1, min(fit, most)))


def fastest_rows(measure: Callable[[int], float], rows: int, most: int) -> int:
    """Rows per micro-batch that make a step of `rows` rows fastest: powers of two and all rows, up to `most`.

    `measure` gives the seconds of a pass of so many rows, or raises torch.OutOfMemoryError. Of those within 3 % of the
    fastest the smallest is taken. The search ends with what does not fit.
    """
    seconds: dict[int, float] = {}
    for candidate in _candidates(rows, most):
        try:
            seconds[candidate] = measure(candidate) * -(-rows // candidate)
        except torch.OutOfMemoryError:
            break
    best = min(seconds.values(), default=0.0)
    return min((candidate for candidate, taken in seconds.items() if taken <= best * CLOSE), default=1)


def _candidates(rows: int, most: int) -> Iterator[int]:
    """Powers of two from 2 on, a shape of 1 being compiled apart, and last all rows."""
    candidate = 2
    while candidate < min(rows, most + 1):
        yield candidate
        candidate *= 2
    if rows <= most:
        yield rows


def find_rows(build: Callable[[], Engine], batch: Batch, world: World) -> int:
    """Rows per micro-batch by measuring on an engine of its own: what 2 and 4 rows take of memory, then the speed of
    what is expected to fit.

    Processes measure together and agree on the slowest time. One of several that runs out of memory, which is not
    expected, raises AbovoError: the others would wait for it in vain. `batch` is any global batch. What is compiled
    here serves several numbers of rows, and is dropped.
    """
    rows = -(-len(batch.ids) // world.size)
    if rows < 4:
        return rows
    with torch.random.fork_rng([world.device] if world.device.type == "cuda" else []):
        found = _measure(build(), batch, rows, world)
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(world.device)
    torch._dynamo.reset()  # the training compiles for its number of rows alone
    return found


def _measure(engine: Engine, batch: Batch, rows: int, world: World) -> int:
    available = int(torch.cuda.get_device_properties(world.device).total_memory * PLANNED)
    _pass(engine, batch, 1, world)  # gradients and the optimizer's state exist from here on
    peaks: list[tuple[int, int]] = []
    for candidate in (2, 4):
        try:
            peaks.append((candidate, _pass(engine, batch, candidate, world).peak))
        except torch.OutOfMemoryError:
            return peaks[-1][0] if peaks else 1
    most = min(world.gather(rows_that_fit(peaks[0], peaks[1], available, rows)))
    return fastest_rows(lambda candidate: _seconds(engine, batch, candidate, world), rows, most)


class _Taken(NamedTuple):
    """What a pass took: seconds, and at most so much memory (bytes)."""

    seconds: float
    peak: int


def _seconds(engine: Engine, batch: Batch, rows: int, world: World) -> float:
    """What the forward and backward pass of so many rows takes, on the slowest process."""
    torch.cuda.empty_cache()
    taken = [_pass(engine, batch, rows, world).seconds for _ in range(WARM + TIMED)]
    return max(world.gather(min(taken[WARM:])))


def _pass(engine: Engine, batch: Batch, rows: int, world: World) -> _Taken:
    """A step of one micro-batch, by itself; of several processes one cannot go on without the others."""
    try:
        return _one_step(engine, batch, rows, world)
    except torch.OutOfMemoryError as error:
        if world.size == 1:
            raise
        what = f"a GPU has no memory for {rows} rows at once"
        raise AbovoError(what, "training.micro_batch_sequences", "give a smaller number in place of auto") from error


def _one_step(engine: Engine, batch: Batch, rows: int, world: World) -> _Taken:
    """A step of one micro-batch; the peak is that of its passes, which grows with the rows, not that of the step."""
    engine.micro_batch = rows
    torch.cuda.reset_peak_memory_stats(world.device)
    torch.cuda.synchronize(world.device)
    begun = time.perf_counter()
    engine.gradient(batch.rows(slice(0, rows)), max(1, batch.targets))
    torch.cuda.synchronize(world.device)
    taken = _Taken(time.perf_counter() - begun, torch.cuda.max_memory_allocated(world.device))
    engine.clip(None)
    engine.step(0.0, 1)
    return taken


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
