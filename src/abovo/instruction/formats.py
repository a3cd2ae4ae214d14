"""Turn rows of instruction data sets into conversations, one function per format.

A conversation is a list of {role, content}. Each format takes an iterable of rows and yields (key, conversation); the
key decides the split, so rows that must not be parted from each other share it.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from abovo.corpus.records import Row, known
from abovo.errors import AbovoError
from abovo.settings.instruction import Instruction

Messages = list[dict[str, str]]
OASST_ROLES = {"prompter": "user", "user": "user", "assistant": "assistant"}


def alpaca(rows: Iterable[Row], settings: Instruction) -> Iterator[tuple[str, Messages]]:
    """instruction, input and output; the input, where there is one, follows the instruction after a blank line."""
    mend = "format alpaca needs the texts instruction and output, and input where there is one"
    for row in rows:
        instruction, output = (_text(row.values, key, row.where, mend).strip() for key in ("instruction", "output"))
        extra = "" if row.values.get("input") is None else _text(row.values, "input", row.where, mend).strip()
        request = instruction + (f"\n\n{extra}" if extra else "")
        yield request, _dialogue(request, output)


def oasst(rows: Iterable[Row], settings: Instruction) -> Iterator[tuple[str, Messages]]:
    """Trees of messages, nested (`prompt`, `replies`) or flat (`message_id`, `parent_id`), best path of each.

    At every step the reply of the best rank is taken (0 is the best, unranked ones come last); the path ends with
    the last answer of the assistant.
    """
    languages = settings.languages
    for root in _trees(rows):
        if languages is not None and root.values.get("lang") not in languages:
            continue
        path: list[Message] = []
        node: Message | None = root
        while node is not None:
            path.append(node)
            replies = [reply for reply in node.replies if not reply.values.get("deleted")]
            node = min(replies, key=_rank) if replies else None
        while path and _role(path[-1]) != "assistant":
            path.pop()
        if path:
            mend = "format oasst needs the text of each message"
            messages = [
                {"role": _role(one), "content": _text(one.values, "text", one.place, mend).strip()} for one in path
            ]
            yield messages[0]["content"], messages


def _text(values: Mapping[str, Any], key: str, where: str, mend: str) -> str:
    value = values.get(key)
    if isinstance(value, str):
        return value
    held = "null" if value is None else type(value).__name__
    what = f"holds {held}, not text" if key in values else f"is missing ({known(values)})"
    raise AbovoError(f"key {key!r} {what}", where, mend)


def _dialogue(request: str, answer: str) -> Messages:
    return [{"role": "user", "content": request}, {"role": "assistant", "content": answer}]


class Message(NamedTuple):
    """A message of a tree: where its row stands, its keys, and the replies to it."""

    where: str
    values: Mapping[str, Any]
    replies: list["Message"]

    @property
    def place(self) -> str:
        return f"{self.where}, message {self.values.get('message_id')}"


def _rank(reply: Message) -> tuple[bool, float]:
    rank = reply.values.get("rank")
    if rank is not None and not isinstance(rank, int | float):
        mend = "format oasst ranks replies by number, 0 is the best"
        raise AbovoError(f"key 'rank' holds {type(rank).__name__}, not a number", reply.place, mend)
    return rank is None, rank or 0.0


def _role(message: Message) -> str:
    role = message.values.get("role")
    if not isinstance(role, str) or role not in OASST_ROLES:
        known_roles = ", ".join(OASST_ROLES)
        raise AbovoError(f"unknown role {role!r}", message.place, f"format oasst knows {known_roles}")
    return OASST_ROLES[role]


def _trees(rows: Iterable[Row]) -> Iterator[Message]:
    """Root messages with nested `replies`; flat messages of one tree stand together, as the data set ships them."""
    seen: set[str] = set()
    for nested, group in itertools.groupby(rows, key=_is_nested):
        if nested:
            yield from (_nested(row.where, row.values.get("prompt", row.values)) for row in group)
            continue
        for tree, messages in itertools.groupby(group, key=lambda row: row.values.get("message_tree_id")):
            root = _flat(tree, messages, seen)
            if root is not None:
                yield root


def _flat(tree: Any, rows: Iterator[Row], seen: set[str]) -> Message | None:
    """The root of a tree whose messages stand together; `seen` are the trees before it."""
    first = next(rows)
    if not isinstance(tree, str) or tree in seen:
        what = "its messages do not stand together" if isinstance(tree, str) else "no message_tree_id"
        raise AbovoError(what, f"{first.where}, message tree {tree}", "check the format, or sort by message_tree_id")
    seen.add(tree)
    return _nest([first, *rows])


def _is_nested(row: Row) -> bool:
    return "prompt" in row.values or "replies" in row.values


def _nested(where: str, values: Any) -> Message:
    replies = values.get("replies") if isinstance(values, Mapping) else None
    if not isinstance(values, Mapping) or not isinstance(replies, list | None):
        mend = "format oasst nests messages as objects, with a list of them as `replies`"
        raise AbovoError("a message of the tree is no object, or its replies are no list", where, mend)
    return Message(where, values, [_nested(where, reply) for reply in replies or []])


def _nest(rows: list[Row]) -> Message | None:
    mend = "format oasst needs the message_id of each message"
    nodes = {_text(row.values, "message_id", row.where, mend): Message(row.where, row.values, []) for row in rows}
    root = None
    for node in nodes.values():
        name = node.values.get("parent_id")
        if name is None:
            root = node
        elif isinstance(name, str) and name in nodes:
            nodes[name].replies.append(node)
    return root
