"""Turn the conversations of one split into its packed rows, and count them."""

import heapq
import json
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from abovo.console.progress import Progress
from abovo.corpus.shards import Split
from abovo.facts.lots import number
from abovo.instruction.fields import Found
from abovo.instruction.lengths import Fitter
from abovo.instruction.rows import Row, RowFiller
from abovo.instruction.sources import Source
from abovo.packing.bins import RowWriter
from abovo.settings.instruction import Instruction
from abovo.tokenizing.jinja import Refused

BEYOND = "beyond max_conversations"
COUNTED = ("conversations", "shortened", "parted", "tokens", "labels", "rows", "shared_rows")


class _Chosen(NamedTuple):
    """A conversation in a heap, whose first one is the one to go: that of the highest lot, of several the latest."""

    lot: int
    order: int
    source: Source
    found: Found


class Shelf:
    """Writes {split}.bin, .mask and .idx; at most `max_conversations` conversations are ever held."""

    def __init__(self, folder: Path, split: Split, fitter: Fitter, settings: Instruction, progress: Progress) -> None:
        tokenizer, length = fitter.tokenizer, settings.sequence_length
        self.split, self.fitter, self.limit, self.progress = split, fitter, settings.max_conversations, progress
        self.filler = RowFiller(length, tokenizer.pad, settings.packing)
        self.writer = RowWriter(folder, split, length, tokenizer.vocabulary_size, mask=True)
        self.chosen: list[_Chosen] = []
        self.taken = 0
        self.totals: Counter[str] = Counter()
        self.by_source: dict[str, Counter[str]] = {}

    def take(self, source: Source, found: Found) -> None:
        """Write a conversation, or where there is a limit keep those that are drawn by hash."""
        if self.limit is None:
            self._write(source, found)
            return
        self.taken += 1
        lot = number(json.dumps(found.messages, ensure_ascii=False))
        heapq.heappush(self.chosen, _Chosen(-lot, -self.taken, source, found))
        if len(self.chosen) > self.limit:
            out = heapq.heappop(self.chosen)
            out.source.tally.leave_out(BEYOND, out.found.where)

    def counts(self) -> dict[str, Any]:
        """What was written; nothing more is taken."""
        for one in sorted(self.chosen, reverse=True):
            self._write(one.source, one.found)
        self.chosen = []
        for row in self.filler.close():
            self._add(row)
        self.totals["shared_rows"] = self.filler.shared
        padded = self.totals["padding"] / max(1, self.totals["rows"] * self.fitter.length)
        return {**{key: self.totals[key] for key in COUNTED}, "padded_share": round(padded, 6)}

    def _write(self, source: Source, found: Found) -> None:
        try:
            fitted = self.fitter.fit(found)
        except Refused as error:
            source.tally.leave_out(f"refused by template {self.fitter.template.name}", found.where, str(error))
            return
        for reason in fitted.left_out:
            source.tally.leave_out(reason, found.where)
        if not fitted.pieces:
            return
        own = self.by_source.setdefault(source.name, Counter())
        tokens = sum(len(ids) for ids, _ in fitted.pieces)
        own.update(conversations=1, tokens=tokens)
        labels = sum(sum(mask) for _, mask in fitted.pieces)
        changed = {"shortened": int(fitted.shortened), "parted": int(fitted.parted)}
        self.totals.update(conversations=1, tokens=tokens, labels=labels, **changed)
        self.progress.update(f"{self.split}: {self.totals['conversations']} conversations")
        for ids, mask in fitted.pieces:
            for row in self.filler.add(ids, mask):
                self._add(row)

    def _add(self, row: Row) -> None:
        ids, flags, used = row
        self.writer.write(ids, flags)
        self.totals.update(rows=1, padding=self.fitter.length - used)

    def __enter__(self) -> Self:
        self.writer.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.writer.__exit__(kind, error, _)
