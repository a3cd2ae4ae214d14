"""Turn rows of instruction data sets into conversations: the table of formats, and those whose records are one request.

A conversation is a list of {role, content}. Each format takes an iterable of rows and yields what it `Found`. What a
format leaves out, and the keys that it does not read, it counts in a `Tally`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from abovo.corpus.records import Row, known
from abovo.errors import AbovoError
from abovo.instruction.fields import LOOK, Found, Tally, absent, empty, first_of, opening, text_of, text_or_none, turn
from abovo.provenance.tables import Table
from abovo.settings.instruction import KEYS, Conversations

FORMATS: Table[Callable[[Iterable[Row], Conversations, Tally], Iterator[Found]]] = Table(
    {
        "alpaca": "abovo.instruction.formats:alpaca",
        "dolly": "abovo.instruction.formats:dolly",
        "messages": "abovo.instruction.chats:messages",
        "oasst": "abovo.instruction.trees:oasst",
        "prompt": "abovo.instruction.formats:prompt",
        "sharegpt": "abovo.instruction.chats:sharegpt",
    },
    chosen_by="format",
    groups={"auto": ("alpaca", "dolly", "messages", "oasst", "prompt", "sharegpt")},
)
# What data sets call the two texts of a record, and the text that stands before them.
REQUESTS = ("prompt", "question", "query", "input")
ANSWERS = ("completion", "response", "answer", "output")
SYSTEMS = ("system", "system_prompt")


def alpaca(rows: Iterable[Row], settings: Conversations, tally: Tally) -> Iterator[Found]:
    """instruction, input and output; the input, where there is one, follows the instruction after an empty line.

    `history`, a list of [user, assistant] pairs, are the turns before, and `system` is the message before all of them.
    """
    mend = "format alpaca needs the texts instruction and output, and input where there is one"
    for row in tally.watched(rows, KEYS["alpaca"]):
        instruction, output = (tally.text(row.values, key, row.where, mend) for key in ("instruction", "output"))
        extra = text_or_none(row.values, "input", row.where, mend)
        system = text_or_none(row.values, "system", row.where, "format alpaca takes a text as `system`")
        messages = [one for pair in _history(row) for one in turn(*pair)] + turn(_joined(instruction, extra), output)
        yield Found(row.where, opening(system) + messages)


def dolly(rows: Iterable[Row], settings: Conversations, tally: Tally) -> Iterator[Found]:
    """instruction, context and response; the context, where there is one, stands after the instruction."""
    mend = "format dolly needs the texts instruction and response, and context where there is one"
    for row in tally.watched(rows, KEYS["dolly"]):
        instruction, response = (tally.text(row.values, key, row.where, mend) for key in ("instruction", "response"))
        request = _joined(instruction, text_or_none(row.values, "context", row.where, mend))
        yield Found(row.where, turn(request, response))


def prompt(rows: Iterable[Row], settings: Conversations, tally: Tally) -> Iterator[Found]:
    """A request and an answer, under any of the names that data sets give them, and a text before where there is one.

    The first of the names counts that a record has something under. Both may be lists of messages.
    """
    from abovo.instruction.chats import listed

    mend = f"format prompt needs one of {', '.join(REQUESTS)} and one of {', '.join(ANSWERS)}"
    for row in rows:
        used = [first_of(row.values, keys) or keys[0] for keys in (REQUESTS, ANSWERS, SYSTEMS)]
        list(tally.watched([row], used))
        request, answer, system = used
        before = text_or_none(row.values, system, row.where, f"format prompt takes a text as `{system}`")
        for key in (request, answer):
            tally.needs(row.values, (key,), row.where, mend)
        found: list[Any] = [row.values.get(key) for key in (request, answer)]
        held = [one for one in found if not empty(one)]
        lists = [isinstance(one, list) for one in held]
        if any(lists):
            if not all(lists):
                raise AbovoError(f"one of {request} and {answer} is a list, the other is not", row.where, mend)
            yield from listed(row, [message for one in held for message in one], before, tally)
            continue
        asked, answered = (tally.text(row.values, key, row.where, mend) for key in (request, answer))
        yield Found(row.where, opening(before) + turn(asked, answered))


def _joined(request: str, extra: str) -> str:
    return "\n\n".join(filter(None, (request, extra)))


def _history(row: Row) -> Iterator[tuple[str, str]]:
    """The earlier turns of a record, as requests and answers."""
    found: Any = row.values.get("history")
    mend = "format alpaca takes a list of [user, assistant] pairs as `history`"
    if empty(found):
        return
    if not isinstance(found, list):
        raise AbovoError(f"key 'history' holds {type(found).__name__}, not a list", row.where, mend)
    for number, pair in enumerate(found, 1):
        what = f"pair {number} of key 'history'"
        if not isinstance(pair, list) or len(pair) != 2:
            raise AbovoError(f"{what} is no list of two texts", row.where, mend)
        request, answer = ("" if absent(value) else text_of(value, what, row.where, mend) for value in pair)
        yield request, answer


def renamed(rows: Iterable[Row], columns: Mapping[str, str], tally: Tally) -> Iterator[Row]:
    """The rows with the keys of their format in place of the names that their table gives them.

    A value that stood under such a key before is not read, and counted as such. Raises AbovoError where one of the
    first records lacks a column; later ones hold nothing there.
    """
    for number, row in enumerate(rows, 1):
        for column in columns.values():
            if column not in row.values and number <= LOOK:
                mend = "mend `columns` of the source"
                raise AbovoError(f"no column {column!r} ({known(row.values)})", row.where, mend)
        others = {key: value for key, value in row.values.items() if key not in columns.values()}
        tally.unread_keys.update(key for key in others.keys() & columns.keys() if not absent(others[key]))
        kept = {key: value for key, value in others.items() if key not in columns}
        found = {key: row.values[column] for key, column in columns.items() if column in row.values}
        yield Row(row.where, {**kept, **found})
