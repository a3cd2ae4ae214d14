"""Turn one request for text into its answer, written by a thread that has a slot and stops when nobody listens."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from abovo.errors import AbovoError
from abovo.serving.answers import Form, event, usage
from abovo.serving.guard import read_body
from abovo.serving.model import Answer, ChatModel
from abovo.serving.refusal import Refused, refused
from abovo.serving.requests import ChatRequest, Request, parsed
from abovo.serving.sampling import Sampling
from abovo.serving.slots import Slots

log = logging.getLogger("abovo")
# How long a client may read nothing of its stream (s)
STALLED = 60


class Work:
    """What is written for one request by a thread, for as long as it is `wanted`: first `encoded`, the number of ids
    that it goes on from, then pieces of text as they come."""

    def __init__(self, model: ChatModel, asked: Request, most: int) -> None:
        self.model, self.asked, self.most = model, asked, most
        self.loop, self.wanted = asyncio.get_running_loop(), True
        self.encoded: asyncio.Future[int] = self.loop.create_future()
        self.pieces: asyncio.Queue[str | None] = asyncio.Queue()

    def run(self) -> Answer:
        """The answer; runs in the thread. What is wrong with the request is what `encoded` raises."""
        try:
            ids = self._encode()
        except BaseException as error:
            self._tell(self._fail, error)
            return Answer("", 0, "gone")
        self._tell(self._begin, len(ids))
        wishes = self.asked.sampling.over(Sampling(max_tokens=self.most))
        try:
            return self.model.write(ids, wishes, self._emit, self.asked.stops)
        finally:
            self._tell(self.pieces.put_nowait, None)

    async def come(self) -> AsyncIterator[str]:
        while (piece := await self.pieces.get()) is not None:
            yield piece

    def _encode(self) -> list[int]:
        try:
            chat = isinstance(self.asked, ChatRequest)
            ids = self.model.ask(self.asked.conversation) if chat else self.model.read(self.asked.prompt)  # type: ignore[attr-defined]
        except AbovoError as error:
            raise refused(error) from None
        if len(ids) >= self.model.context:
            what = f"the prompt takes {len(ids)} tokens, the model reads {self.model.context} at most, its answer's too"
            raise Refused(400, what, "context_length_exceeded", "messages" if chat else "prompt")
        return ids

    def _emit(self, text: str) -> bool:
        if text:
            self._tell(self.pieces.put_nowait, text)
        return self.wanted

    def _begin(self, ids: int) -> None:
        if not self.encoded.done():
            self.encoded.set_result(ids)

    def _fail(self, error: BaseException) -> None:
        if not self.encoded.done():
            self.encoded.set_exception(error)

    def _tell(self, what: Callable[..., Any], *given: Any) -> None:
        with suppress(RuntimeError):  # the server has ended, and its loop
            self.loop.call_soon_threadsafe(what, *given)


class Endpoint:
    """The application behind /v1/chat/completions or, where `kind` says so, /v1/completions."""

    def __init__(
        self, model: ChatModel, kind: type[Request], slots: Slots, pool: ThreadPoolExecutor, most: int, body: int
    ) -> None:
        self.model, self.kind, self.slots, self.pool, self.most, self.body = model, kind, slots, pool, most, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.slots.place():
            asked = self._checked(parsed(await read_body(scope, receive, self.body), self.kind))
            gone = asyncio.ensure_future(_gone(receive))
            answering = asyncio.ensure_future(self._answer(asked, send, scope, receive))
            try:
                await asyncio.wait((gone, answering), return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    answering.cancel()
                with suppress(asyncio.CancelledError):
                    await answering
            finally:
                gone.cancel()
                answering.cancel()

    def _checked(self, asked: Request) -> Request:
        if asked.model not in (None, self.model.name):
            raise Refused(404, f"there is no model {asked.model!r}; this server has {self.model.name}",
                          "model_not_found", "model")  # fmt: skip
        if (asked.max_tokens or 0) > self.most:
            what = f"max_tokens: {asked.max_tokens} tokens are more than the {self.most} that are written at most"
            raise Refused(400, what, "invalid_value", "max_tokens")
        return asked

    async def _answer(self, asked: Request, send: Send, scope: Scope, receive: Receive) -> None:
        give_back, began = await self.slots.take(), time.monotonic()
        work = Work(self.model, asked, self.most)
        # the slot is taken as long as the thread is at work, not until the client has read what it wrote
        running = asyncio.get_running_loop().run_in_executor(self.pool, work.run)
        running.add_done_callback(lambda done: (done.exception(), give_back()))
        try:
            prompt = await work.encoded
            form = Form(self.model.name, self.kind is ChatRequest)
            if asked.stream:
                answer = await self._stream(form, work, running, send)
            else:
                answer = await asyncio.shield(running)
                content = form.whole(answer.text, answer.finish, usage(prompt, answer.tokens))
                await Response(content, media_type="application/json")(scope, receive, send)
            log.info("answered %d + %d tokens, %.1f s", prompt, answer.tokens, time.monotonic() - began)
        except (asyncio.CancelledError, TimeoutError):
            log.info("the client is gone, or reads nothing")
        finally:
            work.wanted = False

    async def _stream(self, form: Form, work: Work, running: "asyncio.Future[Answer]", send: Send) -> Answer:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def put(content: bytes, more: bool = True) -> None:
            async with asyncio.timeout(STALLED):
                await send({"type": "http.response.body", "body": content, "more_body": more})

        await put(form.first())
        async for piece in work.come():
            await put(form.piece(piece))
        try:
            answer = await asyncio.shield(running)
        except Exception as error:  # the stream has begun, so its status cannot tell
            log.exception("error: an answer could not be written")
            await put(event(_failed(error).body()), more=False)
            return Answer("", 0, "gone")
        counted = usage(work.encoded.result(), answer.tokens) if work.asked.counts else None
        await put(form.last(answer.finish, counted), more=False)
        return answer


async def _gone(receive: Receive) -> None:
    """Return when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _failed(error: BaseException) -> Refused:
    return Refused(500, f"the answer could not be written ({type(error).__name__})", "server_error")
