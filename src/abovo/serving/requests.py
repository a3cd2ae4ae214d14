"""Turn the body of a request, as OpenAI's clients send it, into what is asked of a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from abovo.errors import AbovoError
from abovo.serving.refusal import Refused, refused
from abovo.serving.sampling import Sampling
from abovo.settings.keys import build, key, narrow

# Keys that change nothing here.
UNUSED = (
    "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user",
    "verbosity",
)  # fmt: skip
# Keys that are not answered -> the values that ask for nothing, and why others are refused.
UNANSWERED: dict[str, tuple[tuple[Any, ...], str]] = {
    "n": ((1,), "one answer is written per request; send several"),
    "best_of": ((1,), "one answer is written per request; send several"),
    "logprobs": ((False, 0), "probabilities are not returned; workflow/scripts/evaluate.py scores texts"),
    "top_logprobs": ((0,), "probabilities are not returned; workflow/scripts/evaluate.py scores texts"),
    "echo": ((False,), "the prompt is not repeated"),
    "suffix": (("",), "the models write from left to right"),
    "logit_bias": (({},), "logits are not moved; repetition_penalty, top_k and top_p are there"),
    "presence_penalty": ((0,), "use repetition_penalty"),
    "frequency_penalty": ((0,), "use repetition_penalty"),
    "tools": (([],), "models here call no tools"),
    "tool_choice": (("none", "auto"), "models here call no tools"),
    "parallel_tool_calls": ((True, False), "models here call no tools"),
    "functions": (([],), "models here call no tools"),
    "function_call": (("none", "auto"), "models here call no tools"),
    "response_format": (({"type": "text"},), "answers have no form but text"),
    "modalities": ((["text"],), "answers are text"),
    "reasoning_effort": (("none",), "models here are told nothing of it"),
}
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# Most texts that end an answer, and most messages and parts of one: checking them takes time.
STOPS, MESSAGES = 4, 1000


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of a message."""

    type: str = key("Only text is read", pattern="^text$")
    text: str = key("The text")


@dataclass(frozen=True, kw_only=True)
class Said:
    """A message of a conversation."""

    role: str = key("Who says it: system, user or assistant", pattern=f"^({'|'.join(ROLES)})$")
    content: str | tuple[Part, ...] = key("What is said")
    name: str | None = key("Is not read", default=None)

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """What a stream holds besides the text."""

    include_usage: bool = key("Whether the tokens are counted at its end", default=False)
    include_obfuscation: bool = key("Is not done", default=False)


@dataclass(frozen=True, kw_only=True)
class Request(Sampling):
    """What both kinds of requests may say."""

    model: str | None = key("Name of the model, as /v1/models has it; null: the one that there is", default=None)
    stream: bool | None = key("Whether the text is sent as it is written", default=None)
    stream_options: StreamOptions | None = key("What a stream holds besides the text", default=None)
    stop: str | tuple[str, ...] | None = key("Texts before which the answer ends", default=None, min_length=1)

    @property
    def stops(self) -> tuple[str, ...]:
        return () if self.stop is None else (self.stop,) if isinstance(self.stop, str) else self.stop

    @property
    def counts(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def sampling(self) -> Sampling:
        return narrow(Sampling, self)


@dataclass(frozen=True, kw_only=True)
class ChatRequest(Request):
    """What /v1/chat/completions takes."""

    messages: tuple[Said, ...] = key("The conversation so far", min_items=1)
    max_completion_tokens: int | None = key("The same as max_tokens", default=None, minimum=1)

    @property
    def conversation(self) -> list[Mapping[str, str]]:
        return [{"role": ROLES[one.role], "content": one.text} for one in self.messages]


@dataclass(frozen=True, kw_only=True)
class TextRequest(Request):
    """What /v1/completions takes."""

    prompt: str = key("The text that goes on")


def parsed(body: bytes, kind: type[Request]) -> Request:
    """A checked request. Raises Refused with the key that is wrong, is not known or is not answered here."""
    try:
        values = orjson.loads(body)
    except ValueError as error:
        raise Refused(400, f"the body is not valid JSON ({error})", "invalid_json") from None
    if not isinstance(values, dict):
        raise Refused(400, "the body is not a JSON object", "invalid_json")
    for name, (neutral, reason) in UNANSWERED.items():
        given = values.pop(name, None)
        if given is not None and given not in neutral:
            raise Refused(400, f"{name}: {reason}", "unsupported_parameter", name)
    values = {name: value for name, value in values.items() if name not in UNUSED and value is not None}
    _bound(values)
    if "max_completion_tokens" in values and kind is ChatRequest:
        values.setdefault("max_tokens", values["max_completion_tokens"])
    try:
        return build(kind, values, "request")
    except AbovoError as error:
        raise refused(error) from None
    except RecursionError:
        raise Refused(400, "the body is nested too deeply", "invalid_value") from None


def _bound(values: dict[str, Any]) -> None:
    """Refuse lists that are longer than any that is answered, before their items are checked; a list of one prompt is
    that prompt."""
    prompt, messages = values.get("prompt"), values.get("messages")
    if isinstance(prompt, list):
        if len(prompt) != 1 or not isinstance(prompt[0], str):
            raise Refused(400, "prompt: one text goes on per request; tokens are not read", "invalid_value", "prompt")
        values["prompt"] = prompt[0]
    said = messages if isinstance(messages, list) else []
    contents = (message.get("content") for message in said[:MESSAGES] if isinstance(message, dict))
    if len(said) + sum(len(content) for content in contents if isinstance(content, list)) > MESSAGES:
        what = f"messages: more than {MESSAGES} messages and parts; send the last ones"
        raise Refused(400, what, "invalid_value", "messages")
    stop = values.get("stop")
    if stop == "":
        raise Refused(400, "stop: is empty, which would end every answer at once", "invalid_value", "stop")
    if isinstance(stop, list) and len(stop) > STOPS:
        raise Refused(400, f"stop: holds {len(stop)} texts; {STOPS} at most", "invalid_value", "stop")
