"""Turn away what is no business of the server's before anything of it is read: strangers, other hosts, long bodies."""

import asyncio
import hmac
import ipaddress
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from abovo.errors import AbovoError
from abovo.serving.refusal import Refused

# What of a body that is too long is still taken off the line, so that its sender reads the answer (bytes)
DRAINED = 2**26
# How long a body may take (s)
BODY_SECONDS = 30
# What a page may load and ask: this server alone
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def is_own(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_place(host: str, port: int, token: str | None, unguarded: bool) -> None:
    """Raise AbovoError for an address that others can reach, where there is no token and nobody asked for that; for
    a port that there is not, and a token that no header can carry."""
    if not 0 <= port < 2**16:
        raise AbovoError(f"there is no port {port}", "PORT", "choose 1024 to 65535, or 0 for a free one")
    if token is not None and (not token or not token.isascii() or not token.isprintable() or " " in token):
        raise AbovoError("is empty, or holds a blank or more than ASCII", "ABOVO_TOKEN", "choose letters and digits")
    if not is_own(host) and token is None and not unguarded:
        mend = "set ABOVO_TOKEN=... in the environment, or ask for it: OPEN=yes (--open)"
        raise AbovoError("others can reach this address, and anyone could ask the model", f"HOST={host}", mend)


class Guard:
    """The server behind its checks: a token where there is one, else that a page of another host did not send us here
    by a name of its own (DNS rebinding)."""

    def __init__(self, app: ASGIApp, token: str | None, own: bool) -> None:
        self.app, self.token, self.own = app, token, own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                more = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(pair for pair in more if pair[0] not in names)]
            await send(message)

        try:
            self._check(scope["path"], Headers(scope=scope))
            await self.app(scope, receive, told)
        except Refused as error:
            await answer_refused(error)(scope, receive, told)

    def _check(self, path: str, headers: Headers) -> None:
        if self.token is None:
            host = _host_of(headers.get("host", ""))
            if self.own and not is_own(host):
                raise Refused(403, f"the host {host!r} is not this machine; ask for 127.0.0.1", "wrong_host")
        elif path.startswith("/v1/"):
            kind, _, given = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(given.encode(), self.token.encode()):
                raise Refused(401, "the token is missing or not that of the server: Authorization: Bearer TOKEN",
                              "invalid_api_key")  # fmt: skip


def _host_of(header: str) -> str:
    """The host that a Host header names, without its port."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def answer_refused(error: Refused) -> JSONResponse:
    return JSONResponse(error.body(), error.status, error.headers())


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The body of a request that says it is JSON, of at most `limit` bytes.

    A page of another host cannot send this type without asking first, and is not allowed to. Raises Refused.
    """
    headers = Headers(scope=scope)
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "the body must be JSON: Content-Type: application/json", "wrong_type")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read(receive, limit, int(headers.get("content-length", 0)))
    except TimeoutError:
        raise Refused(408, f"the body did not come within {BODY_SECONDS} s", "too_slow") from None


async def _read(receive: Receive, limit: int, announced: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, announced <= max(DRAINED, limit)
    while more:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the body ended early", "incomplete")
        size += len(message.get("body", b""))
        if size <= limit:
            parts.append(message.get("body", b""))
        more = message.get("more_body", False) and size <= max(DRAINED, limit)
    if max(size, announced) > limit:
        raise Refused(413, f"the body is longer than {limit:,} bytes", "body_too_long")
    return b"".join(parts)
