"""Turn rows into a file of JSON lines that grows with a run, and know of every byte in it that it was written here."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.provenance.hashing import canonical_json

BLOCK = 1 << 20
# The mark of a file before its first row
NOTHING = {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}


class Growing:
    """A file and the running sha256 of what was written to it."""

    def __init__(self, path: Path) -> None:
        self.path, self.hash, self.length = path, hashlib.sha256(), 0

    def append(self, row: Mapping[str, Any]) -> None:
        self.write(canonical_json(row) + b"\n")

    def write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)
        self.hash.update(data)
        self.length += len(data)

    def mark(self) -> dict[str, Any]:
        """What a checkpoint notes of the file as it is now, to go back to."""
        return {"bytes": self.length, "sha256": self.hash.hexdigest()}

    def differs(self, mark: Mapping[str, Any]) -> str | None:
        """In words, why the file cannot go back to a mark; None where it can."""
        size = self.path.stat().st_size if self.path.exists() else None
        if size is None:
            return "is missing" if mark["bytes"] else None
        if size < mark["bytes"]:
            return f"was cut short, to {size:,} of {mark['bytes']:,} bytes"
        return None if self._hash_of(mark["bytes"]).hexdigest() == mark["sha256"] else "is not what was written"

    def go_back(self, mark: Mapping[str, Any]) -> None:
        """Cut the file back to a mark that it does not differ from."""
        self.length = mark["bytes"]
        if not self.length:
            self.path.unlink(missing_ok=True)
            self.hash = hashlib.sha256()
            return
        os.truncate(self.path, self.length)
        self.hash = self._hash_of(self.length)

    def read(self) -> bytes:
        """All of it. Raises AbovoError where it is not what was written."""
        data = self.path.read_bytes() if self.path.exists() else b""
        if hashlib.sha256(data).digest() != self.hash.digest():
            mend = "start again: the same command goes on from the last checkpoint that fits"
            raise AbovoError("was changed while the training wrote it", self.path, mend)
        return data

    def _hash_of(self, length: int) -> Any:
        found = hashlib.sha256()
        with self.path.open("rb") as file:
            while length and (block := file.read(min(length, BLOCK))):
                found.update(block)
                length -= len(block)
        return found
