"""Turn trees of messages, as OpenAssistant ships them, into the conversation along the best path of each.

Trees come nested (`prompt`, `replies`), or flat: messages that name their parent, those of a tree one after the other.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from abovo.corpus.records import Row
from abovo.errors import AbovoError
from abovo.instruction.fields import Tally, absent, text
from abovo.settings.instruction import Instruction

Messages = list[dict[str, str]]
ROLES = {"prompter": "user", "user": "user", "assistant": "assistant"}
KEYS = (
    "prompt", "replies", "message_tree_id", "message_id", "parent_id", "role", "text", "lang", "rank", "deleted",
)  # fmt: skip
# Why trees and messages are left out. Of a tree that is left out the messages are not counted.
DELETED_ROOT = "tree whose root is deleted"
NO_ROOT = "tree without a root"
OTHER_LANGUAGE = "tree in another language"
NO_ANSWER = "tree without an answer"
SECOND_ROOT = "message that is a second root of its tree"
REPEATED = "message whose message_id stood before"
ORPHAN = "message whose parent is missing"
DETACHED = "message that leads to no root"
DELETED = "message that is deleted or answers a deleted one"
BESIDE = "message beside the best path or after its last answer"


class Message(NamedTuple):
    """A message of a tree: where its row stands, its keys, and the replies to it."""

    where: str
    values: Mapping[str, Any]
    replies: list["Message"]

    @property
    def place(self) -> str:
        return f"{self.where}, message {self.values.get('message_id')}"

    @property
    def deleted(self) -> bool:
        value = self.values.get("deleted")
        if absent(value) or isinstance(value, bool | int | float):
            return not absent(value) and bool(value)
        mend = "format oasst takes true or false"
        raise AbovoError(f"key 'deleted' holds {type(value).__name__}, not true or false", self.place, mend)


def oasst(rows: Iterable[Row], settings: Instruction, tally: Tally) -> Iterator[tuple[str, Messages]]:
    """The best path of each tree whose root stands and is of a language that is kept.

    At every step the reply of the best rank is taken (0 is the best, unranked ones come last); the path ends with
    the last answer of the assistant.
    """
    mend = "format oasst needs the text of each message"
    for root in _trees(tally.watched(rows, KEYS), tally):
        path, reason = [], _reason(root, settings)
        if reason is None:
            path = _best_path(root)
            reason = None if path else NO_ANSWER
        if reason is not None:
            tally.left_out[reason] += 1
            continue
        standing = _size(root, standing=True)
        tally.left_out += {DELETED: _size(root) - standing, BESIDE: standing - len(path)}
        messages = [{"role": _role(one), "content": text(one.values, "text", one.place, mend)} for one in path]
        yield messages[0]["content"], messages


def _reason(root: Message, settings: Instruction) -> str | None:
    """Why a tree is left out, whatever its replies."""
    if root.deleted:
        return DELETED_ROOT
    other = settings.languages is not None and root.values.get("lang") not in settings.languages
    return OTHER_LANGUAGE if other else None


def _best_path(root: Message) -> list[Message]:
    path = [root]
    while replies := [reply for reply in path[-1].replies if not reply.deleted]:
        path.append(min(replies, key=_rank))
    while path and _role(path[-1]) != "assistant":
        path.pop()
    return path


def _size(root: Message, *, standing: bool = False) -> int:
    """The messages of a tree; with `standing`, without the deleted ones and what hangs on them."""
    size, waiting = 0, [root]
    while waiting:
        message = waiting.pop()
        if not (standing and message.deleted):
            size += 1
            waiting += message.replies
    return size


def _rank(reply: Message) -> tuple[bool, float]:
    rank = reply.values.get("rank")
    if not absent(rank) and not isinstance(rank, int | float):
        mend = "format oasst ranks replies by number, 0 is the best"
        raise AbovoError(f"key 'rank' holds {type(rank).__name__}, not a number", reply.place, mend)
    return (True, 0.0) if absent(rank) else (False, float(rank or 0))


def _role(message: Message) -> str:
    role = message.values.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise AbovoError(f"unknown role {role!r}", message.place, f"format oasst knows {', '.join(ROLES)}")
    return ROLES[role]


def _trees(rows: Iterable[Row], tally: Tally) -> Iterator[Message]:
    """Root messages with nested `replies`; flat messages of one tree stand together, as the data set ships them."""
    seen: set[str] = set()
    for nested, group in itertools.groupby(rows, key=_is_nested):
        if nested:
            yield from (_nested(row.where, row.values.get("prompt", row.values)) for row in group)
            continue
        for tree, messages in itertools.groupby(group, key=lambda row: row.values.get("message_tree_id")):
            root = _flat(tree, messages, seen, tally)
            if root is not None:
                yield root


def _is_nested(row: Row) -> bool:
    return "prompt" in row.values or "replies" in row.values


def _nested(where: str, values: Any) -> Message:
    """A tree of objects, however deep."""
    root = _opened(where, values)
    waiting = [root]
    while waiting:
        message = waiting.pop()
        message.replies.extend(_opened(where, reply) for reply in message.values.get("replies") or ())
        waiting += message.replies
    return root


def _opened(where: str, values: Any) -> Message:
    """A message whose replies are still to be read."""
    if not isinstance(values, Mapping) or not isinstance(values.get("replies"), list | None):
        mend = "format oasst nests messages as objects, with a list of them as `replies`"
        raise AbovoError("a message of the tree is no object, or its replies are no list", where, mend)
    return Message(where, values, [])


def _flat(tree: Any, rows: Iterator[Row], seen: set[str], tally: Tally) -> Message | None:
    """The root of a tree whose messages stand together; `seen` are the trees before it."""
    first = next(rows)
    if not isinstance(tree, str) or tree in seen:
        what = "its messages do not stand together" if isinstance(tree, str) else "no message_tree_id"
        raise AbovoError(what, f"{first.where}, message tree {tree}", "check the format, or sort by message_tree_id")
    seen.add(tree)
    return _nest([first, *rows], tally)


def _nest(rows: list[Row], tally: Tally) -> Message | None:
    """The first root of a flat tree, with its replies below it; what does not hang on it is counted."""
    mend = "format oasst needs the message_id of each message"
    nodes: dict[str, Message] = {}
    repeated = 0
    for row in rows:
        name = text(row.values, "message_id", row.where, mend)
        repeated += int(name in nodes)
        nodes.setdefault(name, Message(row.where, row.values, []))
    roots = [node for node in nodes.values() if absent(node.values.get("parent_id"))]
    if not roots:
        tally.left_out[NO_ROOT] += 1
        return None
    orphans = 0
    for node in nodes.values():
        parent = node.values.get("parent_id")
        if absent(parent):
            continue
        name = text(node.values, "parent_id", node.where, "format oasst takes a message_id as `parent_id`")
        if name in nodes:
            nodes[name].replies.append(node)
        else:
            orphans += 1
    detached = len(nodes) - _size(roots[0]) - (len(roots) - 1) - orphans
    tally.left_out += {REPEATED: repeated, SECOND_ROOT: len(roots) - 1, ORPHAN: orphans, DETACHED: detached}
    return roots[0]
