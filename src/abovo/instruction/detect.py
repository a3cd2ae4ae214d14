"""Turn the first records of a source into the format that they are written in, and the words that say why."""

from collections.abc import Mapping, Sequence

from abovo.corpus.records import Row, known
from abovo.errors import AbovoError
from abovo.instruction.chats import LISTS
from abovo.instruction.fields import absent, first_of
from abovo.instruction.formats import ANSWERS, REQUESTS

# How many records are looked at.
LOOK = 20
MEND = "name the `format`, and with `columns` which column is which"


def detect(first: Sequence[Row]) -> tuple[str, str]:
    """(format, why) of the first records of a source. Raises AbovoError where they are of none, or of several."""
    found: dict[str, tuple[str, Row]] = {}
    for row in first:
        name, why = _format_of(row)
        found.setdefault(name, (why, row))
    if len(found) > 1:
        told = " and ".join(f"{name} ({row.where}: {why})" for name, (why, row) in found.items())
        raise AbovoError(f"the first records are of several formats: {told}", first[0].where, MEND)
    name, (why, _) = next(iter(found.items()))
    return name, f"{len(first)} of the first {len(first)} records have {why}"


def _format_of(row: Row) -> tuple[str, str]:
    values = row.values
    for key in LISTS:
        if isinstance(said := values.get(key), list) and said and isinstance(said[0], Mapping):
            if not absent(said[0].get("from")):
                return "sharegpt", f"a list `{key}` of from and value"
            if not absent(said[0].get("role")):
                return "messages", f"a list `{key}` of role and content"
    if not absent(values.get("message_tree_id")) or isinstance(values.get("prompt"), Mapping) or "replies" in values:
        return "oasst", "a tree of messages"
    for name, keys in {"alpaca": ("instruction", "output"), "dolly": ("instruction", "response")}.items():
        if all(key in values for key in keys):
            return name, " and ".join(f"`{key}`" for key in keys)
    request, answer = first_of(values, REQUESTS), first_of(values, ANSWERS)
    if request and answer:
        return "prompt", f"`{request}` and `{answer}`"
    raise AbovoError(f"the record is of no format that is known ({known(values)})", row.where, MEND)
