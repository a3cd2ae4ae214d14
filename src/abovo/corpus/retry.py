"""Try a request again, with growing pauses, until it succeeds or patience ends with one clear error.

Three limits hold: `timeout` for a server that says nothing, `give_up` for one request that fails again and again, and
`deadline` for all requests of a job together. A hub that was never reached at all is given up sooner.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from abovo.errors import AbovoError, Unreachable
from abovo.settings.place import Place

T = TypeVar("T")
# A machine without a network learns it this soon (seconds).
FIRST_CONTACT = 20.0
# Pauses between tries are drawn from a range that doubles from the first to the last of these (seconds).
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


class Again(Exception):
    """A request failed in a way that may pass; `wait` is what the server asks for (seconds)."""

    def __init__(self, what: str, wait: float = 0.0) -> None:
        asks = f", asks to wait {wait:g} s" if wait else ""
        super().__init__(" ".join(what.split())[:200] + asks)
        self.wait = wait


@dataclass
class Patience:
    """How long failing requests of one source are tried again, in seconds; `where` is named when that ends."""

    where: str
    timeout: float = 30.0
    give_up: float = 300.0
    deadline: float = 86_400.0
    reached: bool = False
    failure: AbovoError | None = None
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, place: Place, where: str) -> "Patience":
        return cls(where, place.timeout, place.give_up, place.deadline)

    def call(self, attempt: Callable[[], T]) -> T:
        """The result of `attempt`, tried again for as long as it raises Again and patience lasts."""
        self.check()
        try:
            return attempt()
        except Again as error:
            return self._again(attempt, error)

    def _again(self, attempt: Callable[[], T], first: Again) -> T:
        import tenacity

        failed, too_late, started = [first], [False], time.monotonic()
        pause = tenacity.wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE)

        def once() -> T:
            if failed:
                raise failed.pop()
            return attempt()

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            return max(pause(state), error.wait if isinstance(error, Again) else 0)

        def ends(state: tenacity.RetryCallState) -> bool:
            then = time.monotonic() + state.upcoming_sleep
            too_late[0] = then > self.started + self.deadline
            return too_late[0] or then > started + self._limit()

        again = tenacity.retry_if_exception_type(Again)
        try:
            return tenacity.Retrying(retry=again, wait=wait, stop=ends, reraise=True)(once)
        except Again as error:
            if too_late[0] and error.wait <= self._limit():
                raise self.late() from None
            raise self.fail(error, time.monotonic() - started) from None

    def check(self) -> None:
        """Fail when the deadline has passed; what failed before fails again."""
        if self.failure is not None:
            raise self.failure
        if time.monotonic() > self.started + self.deadline:
            raise self.late()

    def late(self) -> AbovoError:
        what = f"reading from the hub takes longer than its deadline of {self.deadline:g} s"
        self.failure = Unreachable(what, self.where, "raise the source's `deadline`, or start again")
        return self.failure

    def fail(self, error: Exception, seconds: float) -> AbovoError:
        """The one line that tells that patience has ended; every later request ends with it at once."""
        if self.reached:
            what = f"the hub has failed for {seconds:.0f} s ({error})"
            mend = "start again later, or raise the source's `give_up`"
        else:
            what, mend = f"the hub cannot be reached ({error})", "check the network and HF_ENDPOINT"
        self.failure = Unreachable(what, self.where, mend)
        return self.failure

    def _limit(self) -> float:
        return self.give_up if self.reached else min(self.give_up, FIRST_CONTACT)
