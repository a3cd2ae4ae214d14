"""Turn what a model wrote into the objects of OpenAI's protocol: whole, or as events of a stream."""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Form:
    """The objects of one answer; those of a `chat` hold a message, those of a text its text."""

    model: str
    chat: bool
    number: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, finish: str, usage: dict[str, int]) -> bytes:
        said = {"message": {"role": "assistant", "content": text, "refusal": None}} if self.chat else {"text": text}
        return orjson.dumps(self._object("chat.completion", [self._choice(said, finish)]) | {"usage": usage})

    def first(self) -> bytes:
        """The event that opens a stream, before there is any text; nothing where the protocol has none."""
        return self._event([self._choice({"delta": {"role": "assistant", "content": ""}})]) if self.chat else b""

    def piece(self, text: str) -> bytes:
        return self._event([self._choice({"delta": {"content": text}} if self.chat else {"text": text})])

    def last(self, finish: str, usage: dict[str, int] | None) -> bytes:
        """The events that end a stream; with `usage` also the one that counts."""
        ended = self._event([self._choice({"delta": {}} if self.chat else {"text": ""}, finish)])
        counted = self._event([], {"usage": usage}) if usage is not None else b""
        return ended + counted + DONE

    def _choice(self, said: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {"index": 0, **said, "logprobs": None, "finish_reason": finish}

    def _event(self, choices: list[dict[str, Any]], more: dict[str, Any] | None = None) -> bytes:
        return event(self._object("chat.completion.chunk", choices) | (more or {}))

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        start, kind = ("chatcmpl", kind) if self.chat else ("cmpl", "text_completion")
        return {
            "id": f"{start}-{self.number}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }


def event(content: dict[str, Any]) -> bytes:
    """An event of a stream (server-sent events)."""
    return b"data: " + orjson.dumps(content) + b"\n\n"


def usage(prompt: int, written: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
