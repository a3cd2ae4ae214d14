"""Read a file of the hub over HTTP as a local one: any range of its bytes, each answer checked, each failure retried.

The hub's own file system takes what a server sends for the bytes it asked for. Here an answer must say that it is the
range asked for, of a file of the planned length, commit and content; a connection that breaks is taken up again where
it broke, and a server that ignores ranges is read from the start up to the place.
"""

import functools
import logging
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from abovo.corpus.retry import Again, Patience
from abovo.corpus.seekable import SeekableFile
from abovo.errors import AbovoError, Unreachable

log = logging.getLogger("abovo")
# Answers that may be another next time, besides 500 to 599.
BUSY = (408, 425, 429)
# So many bytes must arrive within a source's `timeout`, or the connection is made anew; within `give_up`, or it ends.
LITTLE = 1 << 16
SAID = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
BROKEN = (httpx2.TransportError, httpx2.StreamError, httpx2.DecodingError)


@functools.cache
def _certificates() -> Any:
    """The certificates that servers are checked with; clients share them, since loading them takes a while."""
    return httpx2.create_ssl_context()


class PatientClient(httpx2.Client):
    """An HTTP client that tries again, for everything that the libraries ask the hub for about data sets.

    What else they send (counters, news) is tried once. `attempt` makes one try of a request, for callers who go on
    with what they have got when it fails.
    """

    def __init__(self, patience: Patience, endpoint: str, **options: Any) -> None:
        super().__init__(verify=_certificates(), follow_redirects=True, timeout=patience.timeout, **options)
        self.patience = patience
        self.needed = (f"{endpoint}/api/datasets/", f"{endpoint}/datasets/")

    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        if not str(request.url).startswith(self.needed):
            return super().send(request, stream=stream, **options)

        def whole() -> httpx2.Response:
            response = self.attempt(request, **options)
            try:
                response.read()
                return response
            except BROKEN as error:
                raise Again(f"{type(error).__name__}: {error}") from None
            finally:
                response.close()

        return self.patience.call(whole)

    def attempt(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send once; raises Again where the connection fails or the server is busy."""
        seconds = self.patience.timeout
        request.extensions["timeout"] = httpx2.Timeout(seconds, connect=min(10.0, seconds)).as_dict()
        try:
            response = super().send(request, stream=True, **options)
        except httpx2.UnsupportedProtocol:
            raise AbovoError(f"not a web address: {request.url}", "HF_ENDPOINT", "set it to https://...") from None
        except BROKEN as error:
            raise Again(f"{type(error).__name__}: {error}") from None
        self.patience.reached = True
        if response.status_code in BUSY or response.status_code >= 500:
            response.close()
            raise Again(f"status {response.status_code}", _asked_to_wait(response.headers))
        return response


def _asked_to_wait(headers: Mapping[str, str]) -> float:
    """Seconds that a busy server asks for, by a Retry-After header or the hub's own (`"api";r=0;t=55`); else 0."""
    value = headers.get("retry-after", "")
    if not value.isdigit():
        left = re.search(r"r=0;\s*t=(\d+)", headers.get("ratelimit", ""))
        value = left[1] if left else "0"
    return float(value)


@dataclass(frozen=True)
class Address:
    """A file of the hub as planned: where it is, its length in bytes, its commit and its content's identity, and the
    `mend` where the hub has another one."""

    url: str
    name: str
    bytes: int
    sha: str
    etag: str
    mend: str


class HubFile(SeekableFile):
    """An open file of the hub. Nothing is fetched before it is read, and nothing beyond what was asked for.

    Reading forward keeps one connection open up to the end of the range that `expect` announced; without one each
    read is a request of its own.
    """

    def __init__(
        self, client: PatientClient, address: Address, headers: Mapping[str, str], footers: dict[str, Any]
    ) -> None:
        self.client, self.patience, self.address = client, client.patience, address
        self.name, self.footers = address.name, footers
        self.headers = {**headers, "accept-encoding": "identity"}
        self.expected = (0, 0)
        self.response: httpx2.Response | None = None
        self.pieces: Iterator[bytes] = iter(())
        # The connection has brought the bytes up to `at`, of those `held`, and will bring them up to `end`.
        self.at = self.end = 0
        self.held = b""
        # Seconds spent in waiting, and bytes that came, since LITTLE arrived; more seconds than that are `slow`.
        self.waited, self.fresh, self.slow = 0.0, 0, 0.0

    def expect(self, start: int, end: int) -> None:
        """Announce that the bytes from `start` to `end` will be read in order."""
        self.expected = (start, min(end, self.address.bytes))

    def seek(self, offset: int, whence: int = 0) -> int:
        self.place = offset + (0, self.place, self.address.bytes)[whence]
        return self.place

    def close(self) -> None:
        self._hang_up()
        super().close()

    def read(self, size: int | None = -1) -> bytes:
        """As many bytes as asked for, fewer only at the end of the file."""
        left = max(0, self.address.bytes - self.place)
        size = left if size is None or size < 0 else min(size, left)
        found = bytearray()
        while len(found) < size:
            found += self._take(size - len(found))
        return bytes(found)

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self.address.bytes - self.place)
        if size <= 0:
            return 0
        data = self._take(size)
        buffer[: len(data)] = data
        return len(data)

    def _take(self, size: int) -> bytes:
        """Between 1 and `size` bytes from the present place."""
        if self.place != self.at - len(self.held) or not (self.held or self.response):
            self._hang_up()
        if not self.held:
            self.held = self._wait_for(size)
        data, self.held = self.held[:size], self.held[size:]
        self.place += len(data)
        return data

    def _wait_for(self, size: int) -> bytes:
        started = time.monotonic()
        data = self.patience.call(lambda: self._receive(size))
        self.waited += time.monotonic() - started
        self.fresh += len(data)
        if self.fresh >= LITTLE or self.at == self.end:
            self.waited, self.fresh, self.slow = 0.0, 0, self.patience.timeout
        elif self.waited > self.patience.give_up:
            raise self.patience.fail(Again(f"less than {LITTLE} bytes arrived"), self.waited)
        elif self.waited > self.slow and self.response is not None:
            log.info("%s: slow, connecting again", self.address.name)
            self._hang_up(keep=len(data))
        return data

    def _receive(self, size: int) -> bytes:
        """The next bytes of the connection, which is made where there is none."""
        if self.response is None:
            self._connect(size)
        try:
            while self.at < self.end:
                data = next(self.pieces, b"")
                if not data:
                    raise Again(f"the answer ended at byte {self.at} of {self.end}")
                skipped = max(0, min(len(data), self.place - self.at))
                data = data[: self.end - self.at]
                self.at += len(data)
                if len(data) > skipped:
                    if self.at == self.end:
                        self._release()
                    return data[skipped:]
            raise Again("the answer holds nothing")
        except BROKEN as error:
            self._hang_up()
            raise Again(f"{type(error).__name__}: {error}") from None
        except Again:
            self._hang_up()
            raise

    def _connect(self, size: int) -> None:
        start, end = self.expected
        end = end if start <= self.place < end else min(self.place + size, self.address.bytes)
        headers = {**self.headers, "range": f"bytes={self.place}-{end - 1}"}
        request = self.client.build_request("GET", self.address.url, headers=headers)
        response = self.client.attempt(request)
        try:
            self.at, self.end = self._check(response, end)
        except BaseException:
            response.close()
            raise
        self.response, self.pieces = response, response.iter_raw()
        self.slow = self.waited + self.patience.timeout

    def _check(self, response: httpx2.Response, end: int) -> tuple[int, int]:
        """The range that the answer holds, once it is known to be one of the planned file."""
        # Redirects lead to a renamed data set and then to a store of other names; whoever knows the file says so.
        hops = [*response.history, response]
        commit = next(
            (hop.headers["x-repo-commit"] for hop in hops if "x-repo-commit" in hop.headers), self.address.sha
        )
        own = response.headers.get("etag", "") if response.url.netloc == hops[0].url.netloc else ""
        etag = next((hop.headers["x-linked-etag"] for hop in hops if "x-linked-etag" in hop.headers), own)
        etag = etag.removeprefix("W/").strip('"') or self.address.etag
        if response.status_code in (401, 403):
            what = f"access is refused (status {response.status_code})"
            raise Unreachable(what, self.where, "check HF_TOKEN")
        if response.status_code == 404:
            raise self._changed("the hub does not have it any more")
        if commit != self.address.sha or etag != self.address.etag:
            raise self._changed("the hub has other bytes")
        if response.status_code == 200:
            length = int(response.headers.get("content-length", self.address.bytes))
            if length != self.address.bytes:
                raise self._changed(f"the hub has {length} bytes, {self.address.bytes} were planned")
            # The range was ignored: what lies before it is read and thrown away.
            return 0, end
        if response.status_code != 206:
            raise self._changed(f"the hub answers with status {response.status_code}")
        said = SAID.fullmatch(response.headers.get("content-range", ""))
        if not said:
            raise Again("the answer does not say which bytes it holds")
        if int(said[3]) != self.address.bytes:
            raise self._changed(f"the hub has {said[3]} bytes, {self.address.bytes} were planned")
        if int(said[1]) != self.place or int(said[2]) < self.place:
            raise Again(f"bytes {said[1]}-{said[2]} came in place of those from {self.place}")
        return self.place, min(end, int(said[2]) + 1)

    def _error(self, what: str, mend: str) -> AbovoError:
        return AbovoError(what, self.where, mend)

    @property
    def where(self) -> str:
        return f"{self.patience.where}, file {self.address.name}"

    def _changed(self, what: str) -> AbovoError:
        return self._error(f"{what} at the planned commit {self.address.sha[:12]}", self.address.mend)

    def _release(self) -> None:
        if self.response is not None:
            self.response.close()
            self.response, self.pieces = None, iter(())

    def _hang_up(self, keep: int = 0) -> None:
        self._release()
        self.held = b""
        self.at = self.end = self.place + keep
