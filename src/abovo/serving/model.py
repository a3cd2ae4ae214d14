"""Turn the folder of a model into one that answers: conversations or texts in, text as it is written out."""

import functools
import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from abovo.console.progress import Progress
from abovo.errors import AbovoError, first_line
from abovo.modeling.adapted import whole_model
from abovo.modeling.generate import Drawing, Limits, steps
from abovo.modeling.layout import read_config
from abovo.modeling.opened import Opened, Precision, open_scored
from abovo.serving.find import Found
from abovo.serving.sampling import Sampling, sampling_of
from abovo.serving.speech import Speech

log = logging.getLogger("abovo")
Message = Mapping[str, str]
# Most ids of a conversation where nobody says more: what is kept of them takes memory (tokens)
CONTEXT = 8192
PROBE = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]


@dataclass(frozen=True)
class Answer:
    """What was written: its text, its ids counted with the one that ended it, and why it ended."""

    text: str
    tokens: int
    finish: Literal["stop", "length", "gone"]


class ChatModel:
    """An opened model that answers one request at a time and thread; several threads may ask it at once."""

    def __init__(self, name: str, opened: Opened) -> None:
        self.name, self.opened, self.tokenizer, self.context = name, opened, opened.tokenizer, opened.context
        self.chats = bool(self.tokenizer.chat_template)
        self.defaults = sampling_of(getattr(opened.model, "generation_config", None))
        self.stops = opened.stops
        if self.chats:
            self._probe()
        self._encoding = threading.Lock()  # a tokenizer sets how it cuts at each call

    def ask(self, messages: Sequence[Message]) -> list[int]:
        """The ids that ask for an answer to a conversation, by the model's own chat template.

        Raises AbovoError for a model without one, a conversation that it refuses, and a message with a marker that
        only the template may write: it would end the message early and speak for another.
        """
        if not self.chats:
            raise AbovoError("has no chat template: it continues texts", self.name, "ask for a completion of a text")
        for number, message in enumerate(messages):
            if held := [marker for marker in self.marking.values() if marker in message["content"]]:
                what = f"holds {held[0]}, which only the chat template writes"
                raise AbovoError(what, f"messages.{number}", "take it out")
        try:
            text = self._rendered(messages)
        except Exception as error:  # a template is a program, which fails in its own ways
            what = f"the model's chat template refuses the conversation ({first_line(error)})"
            raise AbovoError(what, "messages", "change the order or the roles of the messages") from None
        return self.encode(text)

    def read(self, text: str) -> list[int]:
        """The ids of a text that is to go on, with what the tokenizer puts before texts; one that says nothing begins
        as texts do."""
        own = self.encode(text)
        with self._encoding:
            ids = self.tokenizer(text).input_ids
        # some tokenizers end texts, too; an end that the text itself has stays
        while len(ids) > max(1, len(own)) and ids[-1] in self.stops and ids[-len(own) :] != own:
            ids.pop()
        return ids or [self.opened.prefix]

    def encode(self, text: str) -> list[int]:
        with self._encoding:
            return self.tokenizer(text, add_special_tokens=False).input_ids

    def fitting(self, messages: Sequence[Message], room: int) -> tuple[list[int], list[Message]]:
        """The ids of a conversation without so many of its oldest turns that `room` tokens are left for an answer, and
        what is left of it; a system message at its head stays.

        Raises AbovoError where not even the last message fits.
        """
        head = [message for message in messages[:1] if message["role"] == "system"]
        turns = list(messages[len(head) :])
        while True:
            kept = [*head, *turns]
            ids = self.ask(kept)
            if len(ids) + room <= self.context:
                return ids, kept
            later = [number for number, message in enumerate(turns) if number and message["role"] == "user"]
            if not later:
                if len(ids) < self.context:
                    return ids, kept
                what = f"takes {len(ids)} tokens, the model reads {self.context} at most, its answer's among them"
                raise AbovoError(what, "messages", "say it in fewer words")
            turns = turns[later[0] :]

    def write(
        self,
        ids: Sequence[int],
        wishes: Sampling,
        emit: Callable[[str], bool] | None = None,
        stops: Sequence[str] = (),
        generator: Any = None,
    ) -> Answer:
        """Write on after `ids`, of which there are fewer than the context; `emit` gets the text as it comes and says
        whether it is still wanted. Without `generator` numbers come from the seed of `wishes`, or from the system."""
        import torch

        how = wishes.over(self.defaults)
        if generator is None:
            seed = how.seed if how.seed is not None else secrets.randbits(62)
            generator = torch.Generator().manual_seed(seed % 2**63)
        drawing = Drawing((generator,), *self._drawn(how))
        limits = Limits(how.max_tokens or self.context, self.context, self.stops)
        speech, said, tokens, finish = Speech(self.tokenizer, ids, stops, self.marking), [], 0, "length"
        for step in steps(self.opened.reader(), [ids], limits, drawing):
            tokens += 1
            if step[0] in self.stops:
                finish = "stop"
                break
            said.append(speech.add(step[0]))
            if speech.stopped:
                finish = "stop"
            if emit is not None and not emit(said[-1]):
                finish = "gone"
            if finish != "length":
                break
        said.append(speech.end())
        if emit is not None and said[-1] and finish != "gone":
            emit(said[-1])
        return Answer("".join(said), tokens, finish)  # type: ignore[arg-type]

    @functools.cached_property
    def marking(self) -> dict[int, str]:
        """The pieces of the tokenizer that only its chat template may write, by id: those that it does write, and
        others that the tokenizer would take for special ones."""
        written = self._probe() if self.chats else ""
        plain = bool(getattr(self.tokenizer, "split_special_tokens", False)) or not self.chats
        return {
            number: piece.content
            for number, piece in self.tokenizer.added_tokens_decoder.items()
            if piece.content.strip() and (piece.content in written or (piece.special and not plain))
        }

    def _probe(self) -> str:
        """What the chat template makes of a conversation. Raises AbovoError where it makes nothing of any."""
        told = ""
        for probe in (PROBE, PROBE[:1]):
            try:
                return self._rendered(probe)
            except Exception as error:
                told = first_line(error)
        what = f"its chat template cannot be used ({told})"
        raise AbovoError(what, self.tokenizer.name_or_path, "mend chat_template, or take it out to continue texts")

    def _rendered(self, messages: Sequence[Message]) -> str:
        given = [dict(message) for message in messages]
        return self.tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=True)

    def _drawn(self, how: Sampling) -> tuple[float, int | None, float, float]:
        """What a Drawing takes after its generators."""
        temperature, top_p, penalty = (
            1.0 if one is None else one for one in (how.temperature, how.top_p, how.repetition_penalty)
        )
        return temperature, how.top_k or None, top_p, penalty


def open_chat(found: Found, context: int | None = None, precision: Precision | None = None) -> ChatModel:
    """Open a model to be asked; `context` (tokens) is by default all positions that it has, CONTEXT at most.

    Without `precision` weights that were saved in 16 bits are bfloat16 on a GPU, others float32. Raises AbovoError in
    one line for a folder that holds no whole model.
    """
    import torch

    progress = Progress("chat")
    progress.update("opening the model")
    config = read_config(whole_model(found.folder))
    half = str(config.get("dtype", config.get("torch_dtype"))) in ("bfloat16", "float16")
    kind: Precision = precision or ("bfloat16" if half and torch.cuda.is_available() else "float32")
    opened = open_scored(found.folder, context, kind, progress, found.trusted)
    progress.clear()
    if context is None and opened.context > CONTEXT:
        opened = replace(opened, context=CONTEXT)
    model = ChatModel(found.name, opened)
    size = sum(parameter.numel() for parameter in opened.model.parameters())
    does = "answers" if model.chats else "continues texts (it has no chat template)"
    log.info(
        "%s: %s; %.4g M parameters, a context of %s tokens, %s on %s",
        found.name, does, size / 1e6, f"{opened.context:,}", opened.precision, opened.device,
    )  # fmt: skip
    return model
