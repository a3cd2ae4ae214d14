"""Turn rows that hold a conversation as a list of messages into conversations: OpenAI's form, and ShareGPT's."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from abovo.corpus.records import Row
from abovo.errors import AbovoError
from abovo.instruction.fields import (
    EMPTY,
    NOT_TEXT,
    TOOLS,
    UNKNOWN_ROLE,
    Found,
    Messages,
    Tally,
    absent,
    empty,
    first_of,
    opening,
    text_of,
    text_or_none,
)
from abovo.settings.instruction import KEYS, Conversations

# What a list of messages, a message's role and its content are called.
LISTS = ("messages", "conversations", "conversation")
ROLE, CONTENT = ("role", "from"), ("content", "value")
ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "bard", "bing"), "assistant"),
}
OF_TOOLS = ("tool", "function", "tool_calls", "function_call", "function_response", "observation", "ipython")
TOOL_KEYS = ("tool_calls", "function_call")


def messages(rows: Iterable[Row], settings: Conversations, tally: Tally) -> Iterator[Found]:
    """Lists of {role, content} as OpenAI's interface takes them; a content is a text or a list of text parts."""
    yield from _chats(rows, "messages", ROLE, CONTENT, tally)


def sharegpt(rows: Iterable[Row], settings: Conversations, tally: Tally) -> Iterator[Found]:
    """Lists of {from, value}, said by human and gpt."""
    yield from _chats(rows, "sharegpt", ROLE[::-1], CONTENT[::-1], tally)


def _chats(
    rows: Iterable[Row], name: str, role: tuple[str, ...], content: tuple[str, ...], tally: Tally
) -> Iterator[Found]:
    mend = f"format {name} needs a list `{KEYS[name][0]}` of objects with `{role[0]}` and `{content[0]}`"
    for row in rows:
        key = first_of(row.values, dict.fromkeys((KEYS[name][0], *LISTS))) or KEYS[name][0]
        list(tally.watched([row], (key, "system")))
        tally.needs(row.values, (key,), row.where, mend)
        found = [] if empty(held := row.values.get(key)) else held
        if not isinstance(found, list):
            raise AbovoError(f"key {key!r} holds {type(held).__name__}, not a list of messages", row.where, mend)
        system = text_or_none(row.values, "system", row.where, f"format {name} takes a text as `system`")
        yield from listed(row, found, system, tally, mend=mend)


def listed(
    row: Row, found: list[Any], system: str, tally: Tally, mend: str = "write objects with `role` and `content`"
) -> Iterator[Found]:
    """The conversation of a list of messages, after a text before it where it has none of its own; or none, counted."""
    said: Messages = []
    for number, one in enumerate(found, 1):
        where = f"{row.where}, message {number}"
        if absent(one):
            tally.leave_out(EMPTY, where)
            return
        if not isinstance(one, Mapping):
            raise AbovoError(f"is {type(one).__name__}, not an object", where, mend)
        role, content = (first_of(one, keys) for keys in (ROLE, CONTENT))
        said_by = one.get(role or "")
        name = said_by.casefold() if isinstance(said_by, str) else said_by
        if name in OF_TOOLS or any(not absent(one.get(key)) and one[key] != [] for key in TOOL_KEYS):
            tally.leave_out(TOOLS, row.where)
            return
        for keys in (ROLE, CONTENT):
            tally.needs(one, keys, where, mend)
        if not isinstance(name, str) or name not in ROLES:
            tally.leave_out(UNKNOWN_ROLE, row.where, repr(said_by))
            return
        tally.unread_keys.update(f"messages.{key}" for key in one.keys() - {role, content} if not absent(one[key]))
        text = _content(one.get(content) if content else None, where, mend)
        if text is None:
            tally.leave_out(NOT_TEXT, row.where)
            return
        said.append({"role": ROLES[name], "content": text})
    if system and not any(one["role"] == "system" for one in said):
        said = opening(system) + said
    yield Found(row.where, said)


def _content(value: Any, where: str, mend: str) -> str | None:
    """The text of a content: a text, or its text parts one after the other; None where a part is none."""
    if absent(value):
        return ""
    if not isinstance(value, list):
        return text_of(value, "its content", where, mend)
    texts = []
    for part in value:
        if isinstance(part, Mapping) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, str):
            texts.append(part)
        else:
            return None
    return "".join(texts).strip()
