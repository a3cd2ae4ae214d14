"""Put whole conversations into rows of a fixed length."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from abovo.packing.bins import FIRST

Row = tuple[list[int], list[int], int]
OPEN_ROWS = 32


@dataclass(eq=False)
class _Open:
    """A row that conversations may still join."""

    ids: list[int] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    conversations: int = 0

    @property
    def used(self) -> int:
        return len(self.ids)


class RowFiller:
    """Takes conversations one by one and gives rows: ids, their flags, and how many of the ids are conversations.

    What is left of a row is `pad` with no flag. With `packing` a conversation goes into the fullest of the open rows
    that has room for it (best fit); where none has, the fullest row is closed. Without, each has a row of its own. Rows
    depend on the order of the conversations alone; memory is that of the open rows. `shared` counts the rows that hold
    several.
    """

    def __init__(self, length: int, pad: int, packing: bool = True) -> None:
        self.length, self.pad, self.open_rows = length, pad, OPEN_ROWS if packing else 0
        self.rows: list[_Open] = []
        self.shared = 0

    def add(self, ids: list[int], mask: list[int]) -> Iterator[Row]:
        """Take a conversation of at most a row: its ids, and the mask of those that are learned."""
        fitting = [row for row in self.rows if row.used + len(ids) <= self.length] if self.open_rows else []
        row = max(fitting, key=lambda one: one.used) if fitting else _Open()
        row.ids += ids
        row.flags += [mask[0] | FIRST, *mask[1:]]
        row.conversations += 1
        if fitting:
            return
        self.rows.append(row)
        if len(self.rows) > self.open_rows:
            # the new row stays open, but where each conversation has its own
            fullest = max(self.rows[:-1] or self.rows, key=lambda one: one.used)
            self.rows.remove(fullest)
            yield self._closed(fullest)

    def close(self) -> Iterator[Row]:
        """The rows that are still open."""
        for row in self.rows:
            yield self._closed(row)
        self.rows = []

    def _closed(self, row: _Open) -> Row:
        self.shared += row.conversations > 1
        missing = self.length - row.used
        return row.ids + [self.pad] * missing, row.flags + [0] * missing, row.used
