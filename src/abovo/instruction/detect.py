"""Turn the first records of a source into the format that they are written in, and the words that say why."""

from collections.abc import Mapping, Sequence

from abovo.corpus.records import Row, known
from abovo.errors import AbovoError
from abovo.instruction.chats import LISTS
from abovo.instruction.fields import absent, empty, first_of
from abovo.instruction.formats import ANSWERS, REQUESTS

MEND = "name the `format`, and with `columns` which column is which"


def detect(first: Sequence[Row]) -> tuple[str, str]:
    """(format, why) of the first records of a source. Raises AbovoError where they are of none, or of several.

    Records whose list of messages is empty say nothing where others say it.
    """
    told = [row for row in first if not _has_empty_list(row)]
    found: dict[str, list[tuple[str, Row]]] = {}
    for row in told or first:
        name, why = _format_of(row)
        found.setdefault(name, []).append((why, row))
    if len(found) > 1:
        several = " and ".join(f"{name} ({row.where}: {why})" for name, ((why, row), *_) in found.items())
        raise AbovoError(f"the first records are of several formats: {several}", first[0].where, MEND)
    name, records = next(iter(found.items()))
    return name, f"{len(records)} of the first {len(first)} records have {records[0][0]}"


def _has_empty_list(row: Row) -> bool:
    held = [row.values[key] for key in LISTS if key in row.values]
    return bool(held) and all(empty(one) or (isinstance(one, list) and all(map(absent, one))) for one in held)


def _format_of(row: Row) -> tuple[str, str]:
    values = row.values
    for key in LISTS:
        said = values.get(key)
        for message in said if isinstance(said, list) else ():
            role = first_of(message, ("from", "role")) if isinstance(message, Mapping) else None
            if role == "from":
                return "sharegpt", f"a list `{key}` of from and value"
            if role == "role":
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
