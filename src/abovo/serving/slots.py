"""Turn many requests at once into few that are answered, some that wait, and the rest that are told to come again."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from abovo.serving.refusal import Refused

# When to ask again where nobody knows how long answers take (s)
AGAIN = 2


class Slots:
    """At most `slots` requests are answered at once and at most `queue` wait, the first come first, `patience` (s)
    each. A slot is taken until its answer is no longer written, whether or not anyone still waits for it."""

    def __init__(self, slots: int, queue: int, patience: float) -> None:
        self.slots, self.queue, self.patience = slots, queue, patience
        self.free = asyncio.Semaphore(slots)
        self.active = self.waiting = self.inside = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Count a request from its first byte on. Raises Refused where as many are inside as may be."""
        if self.inside >= self.slots + self.queue:
            what = f"{self.inside} requests are answered or wait already; ask again later"
            raise Refused(429, what, "queue_full", wait=AGAIN)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def take(self) -> Callable[[], None]:
        """Wait for a slot; the result gives it back. Raises Refused where none came free; who is cancelled meanwhile is
        out of the queue."""
        self.waiting += 1
        try:
            async with asyncio.timeout(self.patience):
                await self.free.acquire()
        except TimeoutError:
            what = f"no slot came free within {self.patience:g} s; ask again later"
            raise Refused(503, what, "no_slot", wait=AGAIN) from None
        finally:
            self.waiting -= 1
        self.active += 1
        return self._give_back

    def _give_back(self) -> None:
        self.active -= 1
        self.free.release()
