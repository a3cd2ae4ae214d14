"""Turn packed sets into the batches of a training job, whether they were packed from corpora or from conversations."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch

from abovo.errors import AbovoError
from abovo.packing.bins import FIRST, LEARNED, Split, open_bin, open_mask, read_index
from abovo.provenance.manifest import Manifest
from abovo.training.loss import Batch
from abovo.training.windows import Windows


@dataclass(frozen=True)
class Rows:
    """Rows of ids [rows, L]; those LEARNED by the flags of `mask` [rows, L] are targets, without it all but padding.

    Texts that begin where flags say FIRST are cut off from each other where they are kept `apart`. Where `pad` `ends`
    texts too, as in tokenizers without a pad of their own, the first of several is no padding. Ids that are `seen`
    [rows, L] are no targets: rows before them have them.
    """

    ids: np.ndarray | Windows
    mask: np.ndarray | None
    pad: int
    ends: bool = False
    apart: bool = False
    seen: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def array(self) -> np.ndarray:
        """The ids of all rows."""
        return self.ids[:] if isinstance(self.ids, Windows) else self.ids

    def __getitem__(self, part: slice) -> Self:
        seen = self.ids.seen(part) if isinstance(self.ids, Windows) else _cut(self.seen, part)
        return replace(self, ids=self.ids[part], mask=_cut(self.mask, part), seen=seen)

    @property
    def counts(self) -> np.ndarray:
        """Which ids count as targets, bool [rows, L]."""
        if self.mask is not None:
            return self.mask & LEARNED != 0
        found = self.array != self.pad
        if self.ends:
            found[:, 1:] |= found[:, :-1].copy()
        return found if self.seen is None else found & ~self.seen

    @property
    def firsts(self) -> np.ndarray | None:
        """The ids, bool [rows, L], at which texts begin that are kept apart; None where none are."""
        return self.mask & FIRST != 0 if self.apart and self.mask is not None else None

    def batch(self, source: str = "") -> Batch:
        """All of them as one batch."""
        return batch_of([self], source)


def _cut(array: np.ndarray | None, part: slice) -> np.ndarray | None:
    return None if array is None else array[part]


def batch_of(parts: Sequence[Rows], source: str = "") -> Batch:
    """All rows of several sets as one batch; rows whose texts are not kept apart are one text each."""
    ids = np.concatenate([part.array for part in parts]).astype(np.int64)
    counts = np.concatenate([part.counts for part in parts])
    found = [part.firsts for part in parts]
    firsts = None
    if any(one is not None for one in found):
        firsts = torch.from_numpy(np.concatenate(
            [np.zeros(part.array.shape, bool) if one is None else one for part, one in zip(parts, found, strict=True)]
        ))  # fmt: skip
    return Batch(torch.from_numpy(ids), torch.from_numpy(counts), source, firsts)


def open_rows(
    packed: Manifest, split: Split, length: int | None = None, verify: bool = True, apart: bool = False
) -> Rows:
    """The rows of a split of a packed set, the conversations in them cut off from each other where they are kept
    `apart`. Raises AbovoError where rows do not have `length` ids."""
    if length is not None and packed["sequence_length"] != length:
        what = f"rows have {packed['sequence_length']} ids, the run's sequence_length is {length}"
        raise AbovoError(what, packed.path, "set sequence_length of the data set to the run's")
    masked = f"{split}.mask" in packed["outputs"]
    mask = open_mask(packed, split, verify) if masked else None
    return Rows(open_bin(packed, split, verify), mask, packed["pad_id"], packed["pad_id"] == packed["eos_id"], apart)


def held_out_sources(
    name: str, packed: Manifest, length: int | None = None, verify: bool = True, apart: bool = False
) -> dict[str, Rows]:
    """The validation rows of a packed set called `name`, in the order of val.bin: apart by source, as
    {name}/{source}, where it has several, else under its own name."""
    rows = open_rows(packed, "val", length, verify, apart)
    places = read_index(packed, "val").get("sources")
    if places is None:
        return {name: rows}
    return {f"{name}/{source}": rows[first:end] for source, (first, end) in places.items()}


def validation_batches(sources: Mapping[str, Rows], size: int) -> Iterator[Batch]:
    """All validation rows in their order, `size` rows at a time; no batch holds two sources."""
    for name, rows in sources.items():
        for first in range(0, len(rows), size):
            yield rows[first : first + size].batch(name)


@dataclass(frozen=True)
class TrainingSets:
    """The opened sets of a job by name: what is trained on, and what is held out."""

    train: Mapping[str, Rows]
    held_out: Mapping[str, Rows]

    @classmethod
    def open(
        cls, sets: Mapping[str, Manifest], length: int, verify: bool, apart: bool = False, overlap: int = 0
    ) -> Self:
        """Open packed sets; `verify` reads every byte and compares it with the manifests, conversations of a row are
        kept `apart`, rows that are trained on `overlap` by so many ids."""
        train = {name: open_rows(packed, "train", length, verify, apart) for name, packed in sets.items()}
        if overlap:
            train = {name: replace(rows, ids=Windows(rows.array, overlap)) for name, rows in train.items()}
        held_out = {
            source: rows
            for name, packed in sets.items()
            for source, rows in held_out_sources(name, packed, length, verify, apart).items()
        }
        return cls(train, held_out)

    @property
    def unvalidated(self) -> list[str]:
        """What has no row to validate on: {set}/{source}, or a set."""
        return [name for name, rows in self.held_out.items() if not len(rows)]

    def batch(self, places: Sequence[tuple[str, int]]) -> Batch:
        """The rows at (set, row) as one batch, in that order."""
        return batch_of([self.train[name][row : row + 1] for name, row in places])
