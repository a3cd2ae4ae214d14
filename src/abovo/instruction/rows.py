"""Put whole conversations into rows of a fixed length."""

from collections.abc import Iterable, Iterator

from abovo.packing.bins import FIRST

Encoded = tuple[list[int], list[int]]
OPEN_ROWS = 32


def fill_rows(conversations: Iterable[Encoded], length: int, pad: int) -> Iterator[tuple[list[int], list[int], int]]:
    """Rows of ids, their flags, and how many of the ids are conversations; the rest is padding with no flag.

    Of each conversation come the ids and a mask of those that are learned; its first id is flagged as such.

    A conversation goes into the fullest of the open rows that has room for it (best fit); where none has, the fullest
    row is closed. Rows depend on the order of the conversations alone; memory is that of the open rows.
    """
    rows: list[Encoded] = []
    for ids, mask in conversations:
        fitting = [row for row in rows if len(row[0]) + len(ids) <= length]
        if fitting:
            row = max(fitting, key=lambda row: len(row[0]))
        else:
            if len(rows) == OPEN_ROWS:
                fullest = max(rows, key=lambda row: len(row[0]))
                rows.remove(fullest)
                yield _padded(fullest, length, pad)
            row = ([], [])
            rows.append(row)
        row[0].extend(ids)
        row[1].extend([mask[0] | FIRST, *mask[1:]])
    for row in rows:
        yield _padded(row, length, pad)


def _padded(row: Encoded, length: int, pad: int) -> tuple[list[int], list[int], int]:
    ids, flags = row
    missing = length - len(ids)
    return ids + [pad] * missing, flags + [0] * missing, len(ids)
