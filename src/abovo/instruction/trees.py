"""Turn trees of messages, as OpenAssistant ships them, into the conversations along their paths.

Trees come nested (`prompt`, `replies`), or flat: messages that name their parent, those of a tree one after the other.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from abovo.corpus.records import Row
from abovo.errors import AbovoError
from abovo.instruction.fields import UNKNOWN_ROLE, Found, Tally, absent, text
from abovo.settings.instruction import KEYS, Conversations

ROLES = {"prompter": "user", "user": "user", "assistant": "assistant"}
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
BESIDE = "message beside the paths that are taken or after their last answers"


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


def oasst(rows: Iterable[Row], settings: Conversations, tally: Tally) -> Iterator[Found]:
    """Of each tree whose root stands and is of a language that is kept, the best path or all of them.

    On the best path the reply of the best rank is taken at every step (0 is the best, unranked ones come last). A path
    ends with the last answer of the assistant. All paths of a tree are told apart by its root, so they share a split.
    """
    for root in _trees(tally.watched(rows, KEYS["oasst"]), tally):
        if (reason := _reason(root, settings)) is not None:
            tally.leave_out(reason, root.where)
            continue
        ends = [_best_path(root)] if settings.paths == "best" else list(_all_paths(root))
        paths = [path for path in ends if path]
        if not paths:
            tally.leave_out(NO_ANSWER, root.where)
            continue
        standing, taken = _size(root, standing=True), {id(one) for path in paths for one in path}
        tally.left_out += {DELETED: _size(root) - standing, BESIDE: standing - len(taken)}
        for path in paths:
            odd = next((one for one in path if _role(one) is None), None)
            if odd is not None:
                tally.leave_out(UNKNOWN_ROLE, odd.place, repr(odd.values.get("role")))
                continue
            yield Found(root.place, [{"role": str(_role(one)), "content": _text(one, tally)} for one in path])


def _text(one: Message, tally: Tally) -> str:
    return tally.text(one.values, "text", one.place, "format oasst needs the text of each message")


def _reason(root: Message, settings: Conversations) -> str | None:
    """Why a tree is left out, whatever its replies."""
    if root.deleted:
        return DELETED_ROOT
    other = settings.languages is not None and root.values.get("lang") not in settings.languages
    return OTHER_LANGUAGE if other else None


def _best_path(root: Message) -> list[Message]:
    path = [root]
    while replies := _standing(path[-1]):
        path.append(min(replies, key=_rank))
    while path and _role(path[-1]) != "assistant":
        path.pop()
    return path


def _all_paths(root: Message) -> Iterator[list[Message]]:
    """The path to each answer that no other answer hangs on, in the order of the tree, however deep that is."""
    inner: set[int] = set()  # messages below which an answer stands
    order: list[tuple[Message, Message | None]] = []
    waiting: list[tuple[Message, Message | None]] = [(root, None)]
    while waiting:
        one, parent = waiting.pop()
        order.append((one, parent))
        waiting += [(reply, one) for reply in reversed(_standing(one))]
    above = {id(one): parent for one, parent in order}
    for one, parent in reversed(order):
        if parent is not None and (id(one) in inner or _role(one) == "assistant"):
            inner.add(id(parent))
    for one, _ in order:
        if _role(one) == "assistant" and id(one) not in inner:
            path: list[Message] = []
            last: Message | None = one
            while last is not None:
                path.append(last)
                last = above[id(last)]
            yield path[::-1]


def _standing(message: Message) -> list[Message]:
    return [reply for reply in message.replies if not reply.deleted]


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


def _role(message: Message) -> str | None:
    """What a role means; None for one that is not known."""
    role = message.values.get("role")
    return ROLES.get(role.casefold()) if isinstance(role, str) else None


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
        tally.leave_out(NO_ROOT, rows[0].where)
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
