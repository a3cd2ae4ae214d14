"""Turn the steps to come into their batches, read while the steps before them are computed."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

# How many batches are read before they are asked for.
AHEAD = 2
T = TypeVar("T")


@contextmanager
def read_ahead(read: Callable[[int], T], steps: range, device: torch.device) -> Iterator[Iterator[T]]:
    """What `read` makes of each of `steps`, in their order, by a thread that ends with the block.

    What `read` raises is raised where its step is asked for. `device` is the GPU whose driver pins memory for it.
    """
    # a thread begins with the first GPU
    prepare = partial(torch.cuda.set_device, device) if device.type == "cuda" and device.index is not None else None
    pool = ThreadPoolExecutor(1, "reader", prepare)
    try:
        yield _in_order(pool, read, steps)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(pool: ThreadPoolExecutor, read: Callable[[int], T], steps: range) -> Iterator[T]:
    waiting: deque[Future[T]] = deque(pool.submit(read, step) for step in steps[:AHEAD])
    for step in steps:
        found = waiting.popleft().result()
        if step + AHEAD in steps:
            waiting.append(pool.submit(read, step + AHEAD))
        yield found
