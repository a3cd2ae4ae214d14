"""Choose the documents of a corpus: in order of priority, none that is like one chosen before, until budgets are met.

Priority is the order of the sources in the configuration, inside a source its own order (the hash of seed and text, or
the order of reading). A document that no budget reaches pushes out nothing, so what lies beyond the budgets, and how
far beyond them anything was read, does not matter. Two documents that share a text or a band are never both chosen:
so near-duplicates cannot stand on both sides of the split into training and validation either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np

from abovo.corpus.duplicates import SHARED
from abovo.corpus.keys import Part

# Memory that one document takes while its range of the order is looked at, a generous estimate (bytes).
_WORKING = 400
_SAMPLE = 1 << 16


@dataclass
class Share:
    """One source on its way into the corpus. After `choose`: which documents are `kept` by part and what they are."""

    name: str
    parts: list[Part]
    take: str
    budget: int | None
    kept: dict[int, np.ndarray] = field(default_factory=dict)
    exact: int = 0
    near: int = 0
    considered: int = 0
    documents: int = 0
    tokens: int = 0
    bytes: int = 0
    # First place of the order that the budget does not reach; None where it reaches all.
    end: int | None = None

    @property
    def unread(self) -> int | None:
        """The first position that some part did not read: what lies beyond is not known completely."""
        open_ends = (part.until for part in self.parts if part.until is not None and part.below is None)
        return min(open_ends, default=None)

    @property
    def short(self) -> bool:
        """Whether the budget is not met although there is more to be read."""
        return self.budget is not None and self.tokens < self.budget and self.unread is not None

    @property
    def reading_end(self) -> int | None:
        """The first position that does not count where reading stops at the budget; None where all is counted."""
        return self.end if self.take == "first" else None

    def order(self, keys: np.ndarray) -> np.ndarray:
        return keys["place" if self.take == "spread" else "position"]


@dataclass(frozen=True)
class SharedDocuments:
    """What `find_duplicates` wrote: folders, and per folder the numbers of groups and of those for equal texts."""

    folders: Sequence[Path]
    groups: Sequence[int]
    exact: Sequence[int]

    @property
    def total(self) -> int:
        return sum(self.groups)

    def is_exact(self) -> bytearray:
        """One byte per group: 1 for equal texts, 0 for a band in common."""
        kinds = bytearray()
        for groups, exact in zip(self.groups, self.exact, strict=True):
            kinds += b"\1" * exact + b"\0" * (groups - exact)
        return kinds

    def of(self, source: str) -> Iterator[np.ndarray]:
        """Blocks of records of a source, groups numbered over all folders."""
        first = 0
        for folder, groups in zip(self.folders, self.groups, strict=True):
            path = folder / "shared" / f"{source}.bin"
            if path.is_file() and path.stat().st_size:
                with path.open("rb") as file:
                    while len(found := np.fromfile(file, SHARED, 1 << 18)):
                        found["group"] += np.uint32(first)
                        yield found
            first += groups


@dataclass
class _Range:
    """The documents of one range of a source's order, by rank: (part, index) as one number, order, tokens, bytes."""

    code: np.ndarray
    order: np.ndarray
    tokens: np.ndarray
    bytes: np.ndarray


def choose(shares: Sequence[Share], shared: SharedDocuments, memory_mb: float) -> None:
    """Fill in what each share keeps. Memory is bounded by `memory_mb` and a few bits per document."""
    taken, exact = bytearray(shared.total), shared.is_exact()
    for share in shares:
        share.kept = {part.number: np.zeros(part.documents, bool) for part in share.parts}
        share.exact = share.near = share.considered = share.documents = share.tokens = share.bytes = 0
        share.end = None
        for found in _ranges(share, memory_mb):
            if _choose_range(share, found, shared, taken, exact):
                break


def _choose_range(share: Share, found: _Range, shared: SharedDocuments, taken: bytearray, exact: bytearray) -> bool:
    """Choose of one range; True when the budget is met."""
    near_removed, exact_removed, marked = _remove(found, share.name, shared, taken, exact)
    removed = near_removed | exact_removed
    tokens = np.cumsum(np.where(removed, 0, found.tokens)) + share.tokens
    last, met = len(removed), False
    if share.budget is not None and len(tokens) and tokens[-1] >= share.budget:
        last, met = int(np.searchsorted(tokens, share.budget)) + 1, True
        share.end = int(found.order[last - 1]) + 1
        for rank, groups in marked:
            if rank >= last:
                for group in groups:
                    taken[group] = 0
    kept = np.flatnonzero(~removed[:last])
    codes = found.code[kept]
    numbers = codes >> np.uint64(32)
    for number, bits in share.kept.items():
        bits[(codes[numbers == number] & np.uint64(0xFFFFFFFF)).astype(np.int64)] = True
    share.considered += last
    share.exact += int(exact_removed[:last].sum())
    share.near += int(near_removed[:last].sum())
    share.documents += len(kept)
    share.tokens += int(found.tokens[kept].sum())
    share.bytes += int(found.bytes[kept].sum())
    return met


def _remove(
    found: _Range, source: str, shared: SharedDocuments, taken: bytearray, exact: bytearray
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, list[int]]]]:
    """By rank: which documents are like a chosen one before them (in a band; in all of the text), and the groups that
    the others have now taken."""
    near_removed, exact_removed = np.zeros(len(found.code), bool), np.zeros(len(found.code), bool)
    by_code = np.argsort(found.code, kind="stable")
    codes = found.code[by_code]
    ranks, groups = [np.zeros(0, np.int64)], [np.zeros(0, np.uint32)]
    for records in shared.of(source):
        wanted = (records["part"].astype(np.uint64) << np.uint64(32)) | records["index"]
        place = np.minimum(np.searchsorted(codes, wanted), max(0, len(codes) - 1))
        here = codes[place] == wanted if len(codes) else np.zeros(len(wanted), bool)
        ranks.append(by_code[place[here]])
        groups.append(records["group"][here])
    rank, group = np.concatenate(ranks), np.concatenate(groups)
    order = np.lexsort((group, rank))
    marked = []
    pairs = zip(rank[order].tolist(), group[order].tolist(), strict=True)
    for number, rows in groupby(pairs, itemgetter(0)):
        own = [row[1] for row in rows]
        before = [each for each in own if taken[each]]
        if not before:
            for each in own:
                taken[each] = 1
            marked.append((number, own))
        elif any(exact[each] for each in before):
            exact_removed[number] = True
        else:
            near_removed[number] = True
    return near_removed, exact_removed, marked


def _ranges(share: Share, memory_mb: float) -> Iterator[_Range]:
    """The documents of a source in its order, in ranges that fit in the memory. Of those beyond the first position
    that was not read nothing is known, so they are left out."""
    documents = sum(part.documents for part in share.parts)
    number = max(1, -(-documents * _WORKING // round(memory_mb * 1e6)))
    limits = [0, *_limits(share, documents, number), 1 << 64]
    for low, high in pairwise(limits):
        picked = [_pick(share, part, low, high) for part in share.parts]
        code, order, position, tokens, size = (np.concatenate(column) for column in zip(*picked, strict=True))
        rank = np.lexsort((position, order))
        yield _Range(code[rank], order[rank], tokens[rank].astype(np.int64), size[rank].astype(np.int64))


def _limits(share: Share, documents: int, number: int) -> list[int]:
    """Places that cut the source's order into `number` ranges of about the same size, from a sample of the keys."""
    if number == 1:
        return []
    step = max(1, documents // _SAMPLE)
    blocks_of_keys = (keys for part in share.parts for _, keys in part.key_records())
    sample = np.sort(np.concatenate([share.order(keys)[::step] for keys in blocks_of_keys]))
    return sorted({int(sample[len(sample) * cut // number]) for cut in range(1, number)} - {0})


def _pick(share: Share, part: Part, low: int, high: int) -> tuple[np.ndarray, ...]:
    """(part and index, order, position, tokens, bytes) of a part's documents with low <= order < high."""
    bounds = [limit for limit in (part.below, share.unread) if limit is not None]
    columns: list[list[np.ndarray]] = [[], [], [], [], []]
    for first, own in part.key_records():
        order = share.order(own)
        inside = (order >= np.uint64(low)) & (order <= np.uint64(high - 1))
        for bound in bounds:
            inside &= own["position"] < np.uint64(bound)
        index = np.flatnonzero(inside)
        code = np.uint64(part.number << 32) | (index + first).astype(np.uint64)
        found = own[index]
        for column, values in zip(
            columns, (code, share.order(found), found["position"], found["tokens"], found["bytes"]), strict=True
        ):
            column.append(np.array(values))
    empty = (np.uint64, np.uint64, np.uint64, np.uint32, np.uint32)
    return tuple(np.concatenate([np.zeros(0, kind), *column]) for column, kind in zip(columns, empty, strict=True))
