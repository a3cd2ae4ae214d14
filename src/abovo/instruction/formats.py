"""Turn rows of instruction data sets into conversations: the table of formats, one function per format.

A conversation is a list of {role, content}. Each format takes an iterable of rows and yields (key, conversation); the
key is the first request and decides the split, so rows that must not be parted from each other share it. What a format
leaves out, and the keys that it does not read, it counts in a `Tally`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from abovo.corpus.records import Row
from abovo.errors import AbovoError
from abovo.instruction.fields import Tally, absent, text, text_of, text_or_none
from abovo.provenance.tables import Table
from abovo.settings.instruction import Instruction

Messages = list[dict[str, str]]
ALPACA_KEYS = ("instruction", "input", "output", "history", "system")
FORMATS: Table[Callable[[Iterable[Row], Instruction, Tally], Iterator[tuple[str, Messages]]]] = Table(
    {"alpaca": "abovo.instruction.formats:alpaca", "oasst": "abovo.instruction.trees:oasst"}, chosen_by="format"
)


def alpaca(rows: Iterable[Row], settings: Instruction, tally: Tally) -> Iterator[tuple[str, Messages]]:
    """instruction, input and output; the input, where there is one, follows the instruction after a blank line.

    `history`, a list of [user, assistant] pairs, are the turns before, and `system` is the message before all of them.
    """
    mend = "format alpaca needs the texts instruction and output, and input where there is one"
    for row in tally.watched(rows, ALPACA_KEYS):
        instruction, output = (text(row.values, key, row.where, mend) for key in ("instruction", "output"))
        extra = text_or_none(row.values, "input", row.where, mend)
        system = text_or_none(row.values, "system", row.where, "format alpaca takes a text as `system`")
        turns = [*_history(row), ("\n\n".join(filter(None, (instruction, extra))), output)]
        messages = [{"role": "system", "content": system}] if system else []
        for request, answer in turns:
            messages += [{"role": "user", "content": request}, {"role": "assistant", "content": answer}]
        yield turns[0][0], messages


def _history(row: Row) -> Iterator[tuple[str, str]]:
    """The earlier turns of a record, as requests and answers."""
    found: Any = row.values.get("history")
    mend = "format alpaca takes a list of [user, assistant] pairs as `history`"
    if absent(found) or found == "":
        return
    if not isinstance(found, list):
        raise AbovoError(f"key 'history' holds {type(found).__name__}, not a list", row.where, mend)
    for number, pair in enumerate(found, 1):
        what = f"pair {number} of key 'history'"
        if not isinstance(pair, list) or len(pair) != 2:
            raise AbovoError(f"{what} is no list of two texts", row.where, mend)
        request, answer = (text_of(value, what, row.where, mend) for value in pair)
        yield request, answer
