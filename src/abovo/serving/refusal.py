"""Turn what a request may not have into the answer that OpenAI's clients know: a status, a reason and where it lies."""

from typing import Any

from abovo.errors import AbovoError

KINDS = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error", 503: "overloaded_error"}


class Refused(Exception):
    """A request that is not answered: `param` is the key that it is about, `wait` after how long to ask again (s)."""

    def __init__(
        self, status: int, reason: str, code: str | None = None, param: str | None = None, wait: int | None = None
    ) -> None:
        self.status, self.reason, self.code, self.param, self.wait = status, reason, code, param, wait
        super().__init__(reason)

    def body(self) -> dict[str, Any]:
        kind = KINDS.get(self.status, "invalid_request_error")
        return {"error": {"message": self.reason, "type": kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        found = {} if self.wait is None else {"Retry-After": str(self.wait)}
        return found | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def refused(error: AbovoError) -> Refused:
    """A mistake in a request as its refusal; where it lies is the key."""
    key = error.where.removeprefix("request, key ")
    named = key != error.where or key.startswith("messages")
    return Refused(400, str(error), "invalid_value", key if named else None)
