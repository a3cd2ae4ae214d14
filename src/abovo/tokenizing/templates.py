"""Turn conversations into text by a chat template, and the text into token ids with a mask of what is to be learned.

The Jinja text of a template is all there is of it: what is trained on, what a model is asked with, and what is exported
for others are rendered from it. It marks what the assistant says by `{% generation %}`, as transformers does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from abovo.provenance.tables import Table
from abovo.tokenizing.load import Tokenizer

ROLES = ("system", "user", "assistant")
Conversation = Sequence[Mapping[str, str]]
Encoded = tuple[list[int], list[int]]


@dataclass(frozen=True)
class Template:
    """A form of conversations.

    `ends` are the ids that end an answer, `markers` the texts that only the template may write. What the assistant says
    must begin after a newline or a piece of its own and end with one, so that no piece reaches across: the ids of the
    parts are then those of the whole.
    """

    title: str
    jinja: str
    ends: tuple[int, ...]
    markers: tuple[str, ...]

    def parts(self, conversation: Conversation, *, answer: bool = False) -> list[tuple[str, bool]]:
        """The text in parts, each with whether the assistant says it; with `answer`, up to where it is to answer."""
        from abovo.tokenizing.jinja import render

        pieces = render(self.jinja, messages=[dict(message) for message in conversation], add_generation_prompt=answer)
        return [("".join(text for text, _ in part), said) for said, part in groupby(pieces, key=lambda piece: piece[1])]

    def render(self, conversation: Conversation, *, answer: bool = False) -> str:
        """The text of a conversation; with `answer`, up to where the assistant is to answer."""
        return "".join(text for text, _ in self.parts(conversation, answer=answer))

    def ask(self, request: str) -> str:
        """The text that asks for an answer to `request`."""
        return self.render([{"role": "user", "content": request}], answer=True)

    def encode(self, conversation: Conversation, tokenizer: Tokenizer) -> Encoded:
        """Ids and mask of a conversation, equal in length; the mask is 1 on what the assistant says and on its end."""
        ids: list[int] = []
        mask: list[int] = []
        for text, said in self.parts(conversation):
            part = tokenizer.encode(text)
            ids += part
            mask += [int(said)] * len(part)
        return ids, mask

    def encode_leading(self, conversation: Conversation, tokenizer: Tokenizer, length: int) -> tuple[Encoded, int]:
        """The same of at most `length` ids: of a longer conversation, those of its leading turns that fit, up to an
        answer, or none; and how many messages these are."""
        whole = self.encode(conversation, tokenizer)
        if len(whole[0]) <= length:
            return whole, len(conversation)
        found: tuple[Encoded, int] = (([], []), 0)
        for count, message in enumerate(conversation, 1):
            if message["role"] == "assistant":
                leading = self.encode(conversation[:count], tokenizer)
                if len(leading[0]) > length:
                    break
                found = leading, count
        return found

    def problem(self, conversation: Conversation) -> str | None:
        """Why a conversation cannot be learned from, in a few words; None where it can.

        A marker inside a content would end a message early and put the label mask on words that nobody said.
        """
        if not conversation or conversation[-1].get("role") != "assistant":
            return "does not end with an answer"
        for message in conversation:
            if message.get("role") not in ROLES:
                return "unknown role"
            if not message.get("content", "").strip():
                return "empty message"
            if any(marker in message["content"] for marker in self.markers):
                return f"{self.title} marker in a message"
        return None


TEMPLATES: Table[Template] = Table(
    {
        "chatml": "abovo.tokenizing.chatml:CHATML",
        "alpaca": "abovo.tokenizing.alpaca:ALPACA",
    },
    chosen_by="template",
)


def template_named(name: str | None) -> Template | None:
    """The template of this name; None of a model that continues texts."""
    return None if name is None else TEMPLATES[name]


def stop_ids(tokenizer: Tokenizer, template: Template | None) -> tuple[int, ...]:
    """The ids at which a model stops that was trained on conversations of this form; without one, at a text's end."""
    ends = template.ends if template is not None else ()
    return tuple(dict.fromkeys((tokenizer.eos, *ends)))
