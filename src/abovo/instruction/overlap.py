"""Tell conversations that share words in a row with a row of a task, which a model is scored on."""

from collections.abc import Mapping, Sequence
from typing import Any

from abovo.corpus.clean import clean
from abovo.corpus.shared_rows import AskedRow, SharedRows, asked_rows
from abovo.corpus.task_rows import TaskRows
from abovo.instruction.fields import Found


class Overlap(SharedRows):
    """The rows of tasks; `tasks` says of each how many it has, how many are too short to be found, or why it is absent.

    Memory is that of the rows' n-grams; conversations stream past.
    """

    def __init__(self, rows: Sequence[AskedRow], size: int, absent: Mapping[str, str]) -> None:
        super().__init__(rows, size)
        self.tasks: dict[str, dict[str, Any]] = {name: {"absent": why} for name, why in absent.items()}
        for row in rows:
            own = self.tasks.setdefault(row.task, {"rows": 0, "too_short": 0})
            own["rows"] += 1
            own["too_short"] += int(not row.ngrams.size)

    def reason(self, found: Found) -> str | None:
        """Why a conversation is left out: the first task with a row of which it shares words; None where there is none.

        All that is said counts as one text, cleaned as the rows are.
        """
        text = "\n".join(one["content"] for one in found.messages)
        held = self.of(clean(text, "prose")[0])
        return f"shares {self.size} words with a row of {self.rows[int(held[0])].task}" if held.size else None


def look_up(opened: Mapping[str, TaskRows], absent: Mapping[str, str], size: int) -> Overlap:
    """The rows of all tasks that could be opened."""
    return Overlap(list(asked_rows(opened, size)), size, absent)
