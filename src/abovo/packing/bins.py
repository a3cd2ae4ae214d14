"""Write token ids as rows of a fixed length that numpy alone can read, and open them after checking every byte.

train.bin holds little-endian ids, row after row; train.idx says in JSON which shape and type they have; train.mask,
where there is one, holds one byte of flags per id: LEARNED where the id counts as a label, FIRST where a conversation
begins.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import numpy as np

from abovo.errors import AbovoError
from abovo.provenance.files import read_json
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest

Split = Literal["train", "val"]
Ids = Sequence[int] | np.ndarray
# Flags of an id in {split}.mask
LEARNED, FIRST = 1, 2


def dtype_for(vocabulary_size: int) -> np.dtype:
    """The smallest of the two types that holds every id, little-endian on every machine."""
    return np.dtype("<u2") if vocabulary_size <= 1 << 16 else np.dtype("<u4")


class RowWriter:
    """Writes ids to `{split}.bin` as they come; a row ends wherever its length is reached. Constant memory.

    with RowWriter(folder, "train", 128, vocabulary_size) as rows:
        rows.write(ids)          # may be shorter or longer than a row
        rows.fill(tokenizer.pad)     # to the row's end
    """

    def __init__(
        self, folder: Path, split: Split, sequence_length: int, vocabulary_size: int, mask: bool = False
    ) -> None:
        self.folder, self.split, self.sequence_length = folder, split, sequence_length
        self.vocabulary_size, self.dtype = vocabulary_size, dtype_for(vocabulary_size)
        self.written = self.padded = 0
        self.fields: dict[str, Any] = {}
        self.ids: IO[bytes] = (folder / f"{split}.bin").open("wb", 1 << 20)
        self.mask: IO[bytes] | None = (folder / f"{split}.mask").open("wb", 1 << 20) if mask else None

    def write(self, ids: Ids, mask: Ids | None = None) -> None:
        """Append ids, and with `mask` their flags, as many. Raises ValueError for an id out of range."""
        array = np.asarray(ids, np.int64)
        if array.size and (array.min() < 0 or array.max() >= self.vocabulary_size):
            raise ValueError(f"an id is outside 0..{self.vocabulary_size - 1}")
        if (self.mask is None) != (mask is None) or (mask is not None and len(mask) != len(array)):
            raise ValueError("a masked bin takes a mask of the ids' length with every write, any other bin none")
        self.ids.write(array.astype(self.dtype).tobytes())
        if self.mask is not None:
            self.mask.write(np.asarray(mask, np.uint8).tobytes())
        self.written += len(array)

    def fill(self, pad_id: int) -> int:
        """Pad to the end of the row that was begun, with no flag; returns how many ids that took."""
        missing = -self.written % self.sequence_length
        self.write([pad_id] * missing, [0] * missing if self.mask is not None else None)
        self.padded += missing
        return missing

    @property
    def rows(self) -> int:
        return self.written // self.sequence_length

    def close(self) -> None:
        """Write `{split}.idx`; every row must be complete."""
        self.ids.close()
        if self.mask is not None:
            self.mask.close()
        if self.written % self.sequence_length:
            raise ValueError(f"the last row of {self.split}.bin is not complete")
        index = {
            "shape": [self.rows, self.sequence_length],
            "dtype": self.dtype.str,
            "sequence_length": self.sequence_length,
            "num_sequences": self.rows,
            "sha256": sha256_file(self.folder / f"{self.split}.bin"),
            **self.fields,
        }
        text = json.dumps(index, indent=1, sort_keys=True) + "\n"
        (self.folder / f"{self.split}.idx").write_text(text, encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.ids.close()
            if self.mask is not None:
                self.mask.close()


def open_bin(manifest: Manifest, split: Split, verify: bool = True) -> np.ndarray:
    """The ids of a split, memory-mapped and read-only: shape [num_sequences, sequence_length].

    Raises AbovoError naming the file whose bytes or size are not those that the manifest and the index list.
    """
    index = read_index(manifest, split)
    return _open(manifest, f"{split}.bin", np.dtype(index["dtype"]), index, verify)


def open_mask(manifest: Manifest, split: Split, verify: bool = True) -> np.ndarray:
    """uint8 of the bin's shape: the flags LEARNED and FIRST of each id. Instruction bins have one."""
    return _open(manifest, f"{split}.mask", np.dtype("u1"), read_index(manifest, split), verify)


def read_index(manifest: Manifest, split: Split) -> dict[str, Any]:
    path = manifest.file(f"{split}.idx")
    index = read_json(path)
    wrong = None
    if index["sha256"] != manifest["outputs"].get(f"{split}.bin", {}).get("sha256"):
        wrong = "its sha256 is not the bin's"
    elif index["sequence_length"] != manifest["sequence_length"]:
        wrong = "its sequence_length is not the manifest's"
    if wrong:
        raise AbovoError(f"{wrong} in {manifest.path}", path, f"remove {manifest.path} and make it again")
    return index


def _open(manifest: Manifest, name: str, dtype: np.dtype, index: Mapping[str, Any], verify: bool) -> np.ndarray:
    path, shape = manifest.path.parent / name, tuple(index["shape"])
    if verify:
        manifest.file(name)
    expected = int(np.prod(shape)) * dtype.itemsize
    if not path.is_file() or path.stat().st_size != expected:
        size = f"{path.stat().st_size} bytes" if path.is_file() else "missing"
        what = f"{size}, the index says {expected} bytes"
        raise AbovoError(what, path, f"remove {manifest.path} and make it again")
    if not expected:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", shape=shape)
