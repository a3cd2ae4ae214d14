"""Keep the live state of a training run so that it can go on after any death: lock, fingerprint, checkpoints, metrics.

The folder is never a declared output (Snakemake would delete it). A checkpoint is written under a temporary name,
fsynced and renamed; the last two are kept; one that is damaged is passed over for the one before it.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from abovo.errors import AbovoError
from abovo.provenance.files import exclusive, read_json, sync, write_json
from abovo.provenance.hashing import canonical_json, sha256_file

log = logging.getLogger("abovo")
KEPT = 2


@dataclass(frozen=True)
class State:
    """An open state folder; `metrics` and `timings` are JSON lines that grow with the run."""

    folder: Path

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def micro_batch(self) -> Path:
        """Rows per micro-batch that were found, by the GPUs they were found for."""
        return self.folder / "micro_batch.json"

    @property
    def timings(self) -> Path:
        return self.folder / "timings.jsonl"

    def save(self, step: int, content: dict[str, Any]) -> None:
        """Put a checkpoint of `content` (tensors, numbers, strings) on the disk; older ones beyond KEPT go."""
        final = self.folder / f"step-{step:09d}"
        partial = final.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        lengths = {path.name: _synced_length(path) for path in (self.metrics, self.timings)}
        with (partial / "state.pt").open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        write_json(
            partial / "state.json",
            {"step": step, "sha256": sha256_file(partial / "state.pt"), "lengths": lengths},
        )
        sync(partial)
        shutil.rmtree(final, ignore_errors=True)
        partial.replace(final)
        sync(self.folder)
        for old in self._checkpoints()[KEPT:]:
            shutil.rmtree(old)

    def load(self) -> tuple[int, dict[str, Any]] | None:
        """The newest sound checkpoint as (step, content), with the metrics cut back to it; None for a fresh start."""
        for place in self._checkpoints():
            try:
                record = read_json(place / "state.json")
                if sha256_file(place / "state.pt") != record["sha256"]:
                    raise AbovoError("its bytes are not those that were written", place / "state.pt")
                content = torch.load(place / "state.pt", map_location="cpu", weights_only=True)
            except (AbovoError, OSError, KeyError) as error:
                log.warning("checkpoint passed over: %s", error)
                shutil.rmtree(place, ignore_errors=True)
                continue
            for name, length in record["lengths"].items():
                _cut(self.folder / name, length)
            return record["step"], content
        for path in (self.metrics, self.timings):
            path.unlink(missing_ok=True)
        return None

    def append(self, path: Path, row: Mapping[str, Any]) -> None:
        with path.open("ab") as file:
            file.write(canonical_json(row) + b"\n")

    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        if not self.metrics.exists():
            return []
        return [json.loads(line) for line in self.metrics.read_text(encoding="utf-8").splitlines()]

    def _checkpoints(self) -> list[Path]:
        """Complete checkpoints, the newest first."""
        return sorted((path for path in self.folder.glob("step-*") if not path.suffix), reverse=True)


@contextmanager
def open_state(folder: Path, identity: Mapping[str, Any], needed_bytes: int) -> Iterator[State]:
    """Lock the folder for this process and check that it belongs to this run.

    `identity` says what the state depends on (data, tokenizer, model, recipe, world). Raises AbovoError when another
    trainer holds the lock, when the folder holds the state of another identity (naming what differs), or when the
    disk has no room for two checkpoints of `needed_bytes` each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / "lock", "another trainer"):
        _check_identity(folder, identity)
        for partial in folder.glob("step-*.partial"):
            shutil.rmtree(partial)
        free = shutil.disk_usage(folder).free
        if free < 2 * needed_bytes and not list(folder.glob("step-*")):
            what = f"two checkpoints need {2 * needed_bytes:,} bytes, {free:,} are free"
            raise AbovoError(what, folder, "make space and start again")
        write_json(folder / "identity.json", identity)
        yield State(folder)


def discard_state(folder: Path) -> None:
    """Remove the state of a run whose product is complete."""
    if folder.exists():
        with exclusive(folder / "lock", "another trainer"):
            shutil.rmtree(folder)


def _check_identity(folder: Path, identity: Mapping[str, Any]) -> None:
    if not list(folder.glob("step-*")) or not (folder / "identity.json").exists():
        return
    old = _flat(read_json(folder / "identity.json"))
    new = _flat(identity)
    differing = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if differing:
        first = differing[0]
        what = f"the unfinished training here had {first} = {old.get(first)!r}, this one has {new.get(first)!r}"
        more = f" ({len(differing) - 1} more values differ)" if len(differing) > 1 else ""
        raise AbovoError(what + more, folder, "put the value back to go on, or remove the folder to start anew")


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}.{key}".strip(".")).items()}
    return {prefix: value}


def _synced_length(path: Path) -> int:
    if not path.exists():
        return 0
    sync(path)
    return path.stat().st_size


def _cut(path: Path, length: int) -> None:
    if path.exists():
        os.truncate(path, length)
