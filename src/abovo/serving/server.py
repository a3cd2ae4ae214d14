"""Turn an opened model into a server on this machine: OpenAI's protocol, the state of the server, and a chat page."""

import functools
import logging
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from abovo.errors import AbovoError
from abovo.serving.bounds import Bounds
from abovo.serving.endpoint import Endpoint
from abovo.serving.guard import Guard, answer_refused, is_own
from abovo.serving.model import ChatModel
from abovo.serving.refusal import Refused
from abovo.serving.requests import ChatRequest, TextRequest
from abovo.serving.slots import Slots

log = logging.getLogger("abovo")
PAGE = Path(__file__).with_name("page")
# Most connections at once, those that ask nothing among them.
CONNECTIONS = 512
# How long answers that are being written may take when the server is stopped (s)
ENDING = 3


def application(model: ChatModel, bounds: Bounds, token: str | None = None, own: bool = True) -> Any:
    """The server as an ASGI application; `own` says that only this machine reaches it."""
    slots = Slots(bounds.slots, bounds.queue, bounds.patience)
    pool = ThreadPoolExecutor(bounds.slots, "answer", _share_cores(bounds.slots))
    about = _about(model)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "active": slots.active, "waiting": slots.waiting})

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [about]})

    async def one_model(request: Request) -> Response:
        if request.path_params["name"] != model.name:
            raise Refused(404, f"there is no such model; this server has {model.name}", "model_not_found", "model")
        return JSONResponse(about)

    def endpoint(kind: Any) -> Endpoint:
        return Endpoint(model, kind, slots, pool, min(bounds.tokens, model.context), bounds.body)

    routes = [
        Route("/v1/chat/completions", endpoint(ChatRequest), methods=["POST"]),
        Route("/v1/completions", endpoint(TextRequest), methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", one_model),
        Route("/health", health),
        Route("/", _file("index.html")),
        *(Route(f"/{name}", _file(name)) for name in ("chat.js", "chat.css")),
    ]
    handlers: Any = {Refused: _refused, HTTPException: _unknown, Exception: _broken}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), token, own)


def serve(model: ChatModel, host: str, port: int, bounds: Bounds, token: str | None = None) -> None:
    """Serve until the process is stopped. Raises AbovoError for an address that cannot be had."""
    import uvicorn

    listening = _listen(host, port)
    app = application(model, bounds, token, is_own(host))
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False,
        limit_concurrency=CONNECTIONS, timeout_graceful_shutdown=ENDING,
    )  # fmt: skip
    place = f"[{host}]" if ":" in host else host
    log.info(
        "http://%s:%d/ is a chat page, http://%s:%d/v1 speaks OpenAI's protocol (model %s%s); Ctrl-C ends it",
        place, listening.getsockname()[1], place, listening.getsockname()[1], model.name,
        ", with the token of ABOVO_TOKEN" if token else "",
    )  # fmt: skip
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])
    log.info("the server has ended")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=CONNECTIONS)
    except OSError as error:
        what = f"cannot be listened at ({os.strerror(error.errno) if error.errno and error.errno > 0 else error})"
        raise AbovoError(what, f"{host}, port {port}", "stop what listens there, or set PORT or HOST") from None


def _share_cores(slots: int) -> Callable[[], None]:
    import torch

    return functools.partial(torch.set_num_threads, max(1, torch.get_num_threads() // slots))


def _about(model: ChatModel) -> dict[str, Any]:
    """The model as /v1/models has it; `chat` and `context` are ours."""
    return {
        "id": model.name,
        "object": "model",
        "created": int(time.time()),
        "owned_by": "abovo",
        "context": model.context,
        "chat": model.chats,
        "sampling": model.defaults.wishes(),
    }


def _file(name: str) -> Callable[[Request], Any]:
    async def file(_: Request) -> Response:
        return FileResponse(PAGE / name)

    return file


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return answer_refused(error)


async def _unknown(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = {404: "there is nothing at this address", 405: "this address is asked in another way"}
    return answer_refused(Refused(error.status_code, reason.get(error.status_code, error.detail), "not_found"))


async def _broken(_: Request, error: Exception) -> Response:
    return answer_refused(Refused(500, f"the server failed ({type(error).__name__})", "server_error"))
