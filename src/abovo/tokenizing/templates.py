"""Turn conversations into text by a chat template, and the text into token ids with a mask of what is to be learned.

The Jinja text of a template is all there is of it: what is trained on, what a model is asked with, and what is exported
for others are rendered from it. What the assistant says it marks by `{% generation %}`, as transformers does; of a
template without such blocks it is what a conversation has beyond what asks for the answer. Where an answer ends, and
what only the template may write, follows from what it makes of a conversation.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby

from abovo.errors import AbovoError
from abovo.settings.template import ChatTemplate
from abovo.tokenizing.jinja import Refused, check_text, render
from abovo.tokenizing.load import Tokenizer

ROLES = ("system", "user", "assistant")
Conversation = Sequence[Mapping[str, str]]
Encoded = tuple[list[int], list[int]]
Parts = list[tuple[str, bool]]
# What a template is tried on: contents that stand in no template.
CONTENTS = ("Qsystem0q", "Quser1q", "Qsaid1q", "Quser2q", "Qsaid2q")
PROBE = [{"role": role, "content": text} for role, text in zip(("system", *ROLES[1:] * 2), CONTENTS, strict=True)]
# What is written like a special piece.
MARKER = re.compile(r"<\|[^<>|\s]{1,60}\|>|</?s>|<(?:bos|eos|(?:start|end)_of_\w{1,30})>")


@dataclass(frozen=True)
class Form:
    """A form of conversations as text; `named` are the texts that it may call by name, such as bos_token."""

    name: str
    jinja: str
    named: Mapping[str, str] = field(default_factory=dict)

    def parts(self, conversation: Conversation, *, answer: bool = False) -> Parts:
        """The text in parts, each with whether it is marked as what the assistant says; with `answer`, up to where it
        is to answer. Raises Refused where the template cannot write the conversation."""
        messages = [dict(message) for message in conversation]
        pieces = render(self.jinja, messages=messages, add_generation_prompt=answer, **self.named)
        return [("".join(text for text, _ in part), said) for said, part in groupby(pieces, key=lambda piece: piece[1])]

    def render(self, conversation: Conversation, *, answer: bool = False) -> str:
        """The text of a conversation; with `answer`, up to where the assistant is to answer."""
        return "".join(text for text, _ in self.parts(conversation, answer=answer))

    def ask(self, request: str) -> str:
        """The text that asks for an answer to `request`."""
        return self.render([{"role": "user", "content": request}], answer=True)


@dataclass(frozen=True)
class Template(Form):
    """A form whose conversations a tokenizer encodes.

    `ends` are the ids that end an answer and `closing` the text of the first of them, `markers` the texts that only the
    template may write. `marked` says whether it marks what the assistant says. What the assistant says must begin after
    a newline or a piece of its own and end with one, so that no piece reaches across: the ids of the parts are then
    those of the whole.
    """

    ends: tuple[int, ...] = ()
    closing: str = ""
    markers: tuple[str, ...] = ()
    marked: bool = True

    def encode(self, conversation: Conversation, tokenizer: Tokenizer) -> Encoded:
        """Ids and mask of a conversation, equal in length; the mask is 1 on what the assistant says and on its end."""
        ids: list[int] = []
        mask: list[int] = []
        for text, said in self.parts(conversation) if self.marked else self._compared(conversation):
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
                return f"marker of {self.name} in a message"
        return None

    def _compared(self, conversation: Conversation) -> Parts:
        """The parts of a template that marks nothing: an answer stands after what asks for it, up to its end."""
        whole, at, found = self.render(conversation), 0, Parts()
        for number, message in enumerate(conversation):
            if message["role"] != "assistant":
                continue
            asking = self.render(conversation[:number], answer=True)
            end = whole.find(self.closing, len(asking)) + len(self.closing)
            if not whole.startswith(asking) or end < len(self.closing) + len(asking):
                raise Refused("what asks for an answer does not stand before the answer")
            found += [(whole[at : len(asking)], False), (whole[len(asking) : end], True)]
            at = end
        return [part for part in (*found, (whole[at:], False)) if part[0]]


def form_of(settings: ChatTemplate, own: str | None = None, named: Mapping[str, str] | None = None) -> Form:
    """The form of a template; `own` is the text of the one that a tokenizer came with, `named` what it calls by name.

    Raises AbovoError where the tokenizer's own is asked for and it came with none.
    """
    where, text = f"chat template {settings.name}", settings.text or own
    if text is None:
        raise AbovoError("the tokenizer came with no chat template", where, "name one of config/templates")
    check_text(text, where)
    return Form(settings.name, text, named or {})


def open_template(settings: ChatTemplate, tokenizer: Tokenizer) -> Template:
    """A template with what follows from its text and the tokenizer.

    Raises AbovoError for one that cannot write a conversation, does not end an answer with a special piece, or writes a
    marker that the tokenizer does not have as one piece.
    """
    where = f"chat template {settings.name}"
    form = form_of(settings, tokenizer.chat_template, tokenizer.named)
    try:
        wholes = [form.parts(PROBE[1:])]
        asked = form.render(PROBE[1:2], answer=True)
    except Refused as error:
        raise AbovoError(f"it cannot write a conversation ({error})", where, "mend the template") from None
    with suppress(Refused):  # some know no system turn; conversations that have one are refused one by one
        wholes.append(form.parts(PROBE))
    text = "".join(text for text, _ in wholes[0])
    lost = [content for content in CONTENTS[1:] if content not in text]
    if lost:
        raise AbovoError("it leaves out a message of a conversation", where, "mend the template")
    specials = {
        piece: number
        for piece, number in tokenizer.pieces.items()
        if piece.strip() and tokenizer.encode(piece) == [number]
    }
    for written in (*("".join(text for text, _ in whole) for whole in wholes), asked):
        _check_markers(written, specials, where)
    marked = any(said for _, said in wholes[0])
    closing = _closing(wholes[0] if marked else [(text, True)], specials, where)
    # where nothing but words tells who speaks, nobody else may write these
    leads = (lead.lstrip() for lead in _leads(text) if not any(piece in lead for piece in specials))
    markers = (*specials, *filter(None, dict.fromkeys(leads)))
    template = Template(form.name, form.jinja, form.named, (specials[closing],), closing, markers, marked)
    _check_ids(template, tokenizer, where)
    return template


def template_for(settings: ChatTemplate | None, tokenizer: Tokenizer) -> Template | None:
    """The same; None of a model that continues texts."""
    return None if settings is None else open_template(settings, tokenizer)


def stop_ids(tokenizer: Tokenizer, template: Template | None) -> tuple[int, ...]:
    """The ids at which a model stops that was trained on conversations of this form; without one, at a text's end."""
    ends = template.ends if template is not None else ()
    return tuple(dict.fromkeys((tokenizer.eos, *ends)))


def _closing(whole: Parts, specials: Mapping[str, int], where: str) -> str:
    """The special piece with which an answer of the probe ends."""
    ends = set()
    for content in CONTENTS[2::2]:
        after = next((text.partition(content)[2] for text, said in whole if said and content in text), "")
        places = {after.find(piece): piece for piece in specials if piece in after}
        stop = next((place for place in (after.find(other) for other in CONTENTS) if place >= 0), len(after))
        first = min(places, default=stop)
        if first >= stop:
            mend = (
                "write a special piece of the tokenizer behind it, inside {% generation %} where there is such a block"
            )
            raise AbovoError("nothing ends what the assistant says", where, mend)
        ends.add(places[first])
    if len(ends) > 1:
        what = f"answers end differently: {' and '.join(sorted(ends))}"
        raise AbovoError(what, where, "end all of them alike")
    return str(ends.pop())


def _leads(text: str) -> Iterator[str]:
    """What the template writes before each message of the probe."""
    for content in CONTENTS[1:]:
        lead, _, text = text.partition(content)
        yield lead


def _check_markers(text: str, specials: Mapping[str, int], where: str) -> None:
    known = "|".join(re.escape(piece) for piece in sorted(specials, key=len, reverse=True))
    left = re.sub(known, " ", text) if known else text
    if odd := MARKER.search(left):
        mend = "name it in chat_pieces of config/tokenizers, or choose another template"
        raise AbovoError(f"it writes {odd[0]}, which is no piece of the tokenizer", where, mend)


def _check_ids(template: Template, tokenizer: Tokenizer, where: str) -> None:
    """Raise AbovoError where a piece reaches across the begin or end of what the assistant says."""
    for begin in ("", "(", "the "):
        talk = [{**one, "content": begin + one["content"]} for one in PROBE[1:]]
        try:
            ids, mask = template.encode(talk, tokenizer)
        except Refused as error:
            mend = "mark what the assistant says by {% generation %}"
            raise AbovoError(f"it does not show what the assistant says ({error})", where, mend) from None
        if ids != tokenizer.encode(template.render(talk)):
            mend = "what the assistant says must begin after a newline or special piece, and end with one"
            raise AbovoError("a piece of the tokenizer reaches into what the assistant says", where, mend)
        ended = sum(number in template.ends and bool(said) for number, said in zip(ids, mask, strict=True))
        if ended != 2:
            raise AbovoError("it marks something else than answers with their ends", where, "mend {% generation %}")
