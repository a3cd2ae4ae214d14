"""Turn records of instruction data sets into conversations: the table of formats.

A conversation is a list of {role, content}. Each format takes an iterable of records and yields (key, conversation);
the key decides the split, so rows that must not be parted from each other share it.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from abovo.errors import AbovoError

Messages = list[dict[str, str]]
Record = Mapping[str, Any]
OASST_ROLES = {"prompter": "user", "user": "user", "assistant": "assistant"}


def alpaca(records: Iterable[Record], settings: Mapping[str, Any]) -> Iterator[tuple[str, Messages]]:
    """instruction, input and output; the input, where there is one, follows the instruction after a blank line."""
    for number, record in enumerate(records):
        for key in ("instruction", "output"):
            if not isinstance(record.get(key), str):
                mend = "format alpaca needs instruction, input and output"
                raise AbovoError(f"key {key!r} is missing or no text", f"record {number}", mend)
        extra = (record.get("input") or "").strip()
        request = record["instruction"].strip() + (f"\n\n{extra}" if extra else "")
        yield request, _dialogue(request, record["output"].strip())


def oasst(records: Iterable[Record], settings: Mapping[str, Any]) -> Iterator[tuple[str, Messages]]:
    """Trees of messages, nested (`prompt`, `replies`) or flat (`message_id`, `parent_id`), best path of each.

    At every step the reply of the best rank is taken (0 is the best, unranked ones come last); the path ends with
    the last answer of the assistant.
    """
    languages = settings.get("languages")
    for root in _trees(records):
        if languages is not None and root.get("lang") not in languages:
            continue
        path: list[Record] = []
        node: Record | None = root
        while node is not None:
            path.append(node)
            replies = [reply for reply in node.get("replies") or [] if not reply.get("deleted")]
            node = min(replies, key=_rank) if replies else None
        while path and _role(path[-1]) != "assistant":
            path.pop()
        if path:
            messages = [{"role": _role(node), "content": node["text"].strip()} for node in path]
            yield messages[0]["content"], messages


FORMATS: dict[str, Callable[[Iterable[Record], Mapping[str, Any]], Iterator[tuple[str, Messages]]]] = {
    "alpaca": alpaca,
    "oasst": oasst,
}


def _dialogue(request: str, answer: str) -> Messages:
    return [{"role": "user", "content": request}, {"role": "assistant", "content": answer}]


def _rank(reply: Record) -> tuple[bool, float]:
    rank = reply.get("rank")
    return rank is None, rank or 0.0


def _role(node: Record) -> str:
    try:
        return OASST_ROLES[node["role"]]
    except KeyError:
        known = ", ".join(OASST_ROLES)
        where = f"message {node.get('message_id')}"
        raise AbovoError(f"unknown role {node.get('role')!r}", where, f"format oasst knows {known}") from None


def _trees(records: Iterable[Record]) -> Iterator[Record]:
    """Root messages with nested `replies`; flat messages of one tree stand together, as the data set ships them."""
    seen: set[str] = set()
    for nested, group in itertools.groupby(records, key=_is_nested):
        if nested:
            yield from (record.get("prompt", record) for record in group)
            continue
        for tree, messages in itertools.groupby(group, key=lambda message: message.get("message_tree_id")):
            if tree is None or tree in seen:
                what = "no message_tree_id" if tree is None else "its messages do not stand together"
                raise AbovoError(what, f"message tree {tree}", "check the format, or sort by message_tree_id")
            seen.add(tree)
            root = _nest(list(messages))
            if root is not None:
                yield root


def _is_nested(record: Record) -> bool:
    return "prompt" in record or "replies" in record


def _nest(messages: list[Record]) -> Record | None:
    nodes = {message["message_id"]: {**message, "replies": []} for message in messages}
    root = None
    for node in nodes.values():
        parent = nodes.get(node.get("parent_id"))
        if parent is not None:
            parent["replies"].append(node)
        elif node.get("parent_id") is None:
            root = node
    return root
