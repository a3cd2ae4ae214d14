"""Put whole conversations into rows of a fixed length."""

from collections.abc import Iterator

from abovo.packing.bins import FIRST

Encoded = tuple[list[int], list[int]]
Row = tuple[list[int], list[int], int]
OPEN_ROWS = 32


class RowFiller:
    """Takes conversations one by one and gives rows: ids, their flags, and how many of the ids are conversations.

    What is left of a row is `pad` with no flag. With `packing` a conversation goes into the fullest of the open rows
    that has room for it (best fit); where none has, the fullest row is closed. Without, each has a row of its own. Rows
    depend on the order of the conversations alone; memory is that of the open rows. `shared` counts the rows that hold
    several.
    """

    def __init__(self, length: int, pad: int, packing: bool = True) -> None:
        self.length, self.pad, self.open_rows = length, pad, OPEN_ROWS if packing else 0
        self.rows: list[list[Encoded]] = []
        self.shared = 0

    def add(self, ids: list[int], mask: list[int]) -> Iterator[Row]:
        """Take a conversation of at most a row: its ids, and the mask of those that are learned."""
        one = (ids, [mask[0] | FIRST, *mask[1:]])
        fitting = [row for row in self.rows if _used(row) + len(ids) <= self.length]
        if fitting:
            max(fitting, key=_used).append(one)
            return
        self.rows.append([one])
        if len(self.rows) > self.open_rows:
            # the new row stays open, but for rows of one conversation each
            fullest = max(self.rows[:-1] or self.rows, key=_used)
            self.rows.remove(fullest)
            yield self._closed(fullest)

    def close(self) -> Iterator[Row]:
        """The rows that are still open."""
        for row in self.rows:
            yield self._closed(row)
        self.rows = []

    def _closed(self, row: list[Encoded]) -> Row:
        self.shared += len(row) > 1
        ids = [number for own, _ in row for number in own]
        flags = [flag for _, own in row for flag in own]
        missing = self.length - len(ids)
        return ids + [self.pad] * missing, flags + [0] * missing, len(ids)


def _used(row: list[Encoded]) -> int:
    return sum(len(ids) for ids, _ in row)
