"""Keep the live state of a training run so that it can go on after any death: lock, fingerprint, checkpoints, metrics.

The folder is never a declared output (Snakemake would delete it). A checkpoint is written under a temporary name,
fsynced and renamed; some are kept; one that is damaged is passed over for the one before it.
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
from abovo.provenance.differences import differing
from abovo.provenance.files import exclusive, read_json, sync, write_json
from abovo.provenance.hashing import canonical_json, sha256_file

log = logging.getLogger("abovo")


@dataclass(frozen=True)
class State:
    """An open state folder; `metrics`, `timings` and `samples` are JSON lines that grow with the run."""

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

    @property
    def samples(self) -> Path:
        return self.folder / "samples.jsonl"

    @property
    def logs(self) -> list[Path]:
        """Those of the files that grow which are there; a resumed run cuts them back to its checkpoint."""
        return [path for path in (self.metrics, self.timings, self.samples) if path.exists()]

    def save(
        self, step: int, content: dict[str, Any], *, last: int = 2, every: int | None = None, best: int | None = None
    ) -> None:
        """Put a checkpoint of `content` (tensors, numbers, strings) on the disk.

        The newest `last` are kept, those of multiples of `every`, which outlive the state, and that of step `best`; the
        others go. Raises AbovoError where it cannot be written; what was there before is then still there.
        """
        final = self.folder / f"step-{step:09d}"
        partial = final.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            self._write(partial, step, content, every is not None and step % every == 0)
        except (OSError, RuntimeError) as error:
            # torch ends a file that could not be written with an error of its own, which hides the disk's
            chain = (error, error.__context__)
            reason = next((link for link in chain if isinstance(link, OSError) and link.strerror), None)
            if reason is None:
                raise
            shutil.rmtree(partial, ignore_errors=True)
            kept = f"the newest kept is of step {self.steps()[0]}" if self.steps() else "none was written before"
            what = f"the checkpoint of step {step} cannot be written: {str(reason.strerror).lower()}; {kept}"
            raise AbovoError(what, self.folder, "make space and start again") from error
        shutil.rmtree(final, ignore_errors=True)
        partial.replace(final)
        sync(self.folder)
        for old in self.steps()[last:]:
            if old != best and (every is None or old % every):
                shutil.rmtree(self.folder / f"step-{old:09d}")

    def _write(self, folder: Path, step: int, content: dict[str, Any], stays: bool) -> None:
        folder.mkdir()
        lengths = {path.name: _synced_length(path) for path in self.logs}
        with (folder / "state.pt").open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        record = {"step": step, "sha256": sha256_file(folder / "state.pt"), "lengths": lengths, "stays": stays}
        write_json(folder / "state.json", record)
        sync(folder)

    def load(self) -> tuple[int, dict[str, Any]] | None:
        """The newest sound checkpoint as (step, content), with the metrics cut back to it; None for a fresh start."""
        for step in self.steps():
            place = self.folder / f"step-{step:09d}"
            try:
                content, lengths = self._read(place)
            except (AbovoError, OSError, KeyError) as error:
                log.warning("checkpoint passed over: %s", error)
                shutil.rmtree(place, ignore_errors=True)
                continue
            for path in self.logs:
                os.truncate(path, lengths.get(path.name, 0))
            return step, content
        for path in self.logs:
            path.unlink()
        return None

    def load_step(self, step: int) -> dict[str, Any]:
        """The content of one checkpoint; the metrics stay as they are. Raises AbovoError where it is damaged."""
        return self._read(self.folder / f"step-{step:09d}")[0]

    def _read(self, place: Path) -> tuple[dict[str, Any], dict[str, int]]:
        record = read_json(place / "state.json")
        if sha256_file(place / "state.pt") != record["sha256"]:
            raise AbovoError("its bytes are not those that were written", place / "state.pt")
        return torch.load(place / "state.pt", map_location="cpu", weights_only=True), record["lengths"]

    def append(self, path: Path, row: Mapping[str, Any]) -> None:
        with path.open("ab") as file:
            file.write(canonical_json(row) + b"\n")

    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        if not self.metrics.exists():
            return []
        return [json.loads(line) for line in self.metrics.read_text(encoding="utf-8").splitlines()]

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, the newest first."""
        found = (path.name.removeprefix("step-") for path in self.folder.glob("step-*") if not path.suffix)
        return sorted(map(int, found), reverse=True)


@contextmanager
def open_state(folder: Path, identity: Mapping[str, Any], needed_bytes: int) -> Iterator[State]:
    """Lock the folder for this process and check that it belongs to this run.

    `identity` says what the state depends on (data, tokenizer, model, recipe; not the engine). Raises AbovoError when
    another trainer holds the lock, when the folder holds the state of another identity (naming what differs), or when
    the disk has no room for two checkpoints of `needed_bytes` each.
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
    """Remove the state of a run whose product is complete; checkpoints that stay go to checkpoints/ beside it."""
    if not folder.exists():
        return
    with exclusive(folder / "lock", "another trainer"):
        staying = [place for place in sorted(folder.glob("step-?????????")) if _stays(place)]
        if staying:
            target = folder.parent / "checkpoints"
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            shutil.copyfile(folder / "identity.json", target / "identity.json")
            for place in staying:
                place.replace(target / place.name)
        shutil.rmtree(folder)


def _stays(place: Path) -> bool:
    record = place / "state.json"
    return record.is_file() and read_json(record).get("stays", False)


def _check_identity(folder: Path, identity: Mapping[str, Any]) -> None:
    if not list(folder.glob("step-*")) or not (folder / "identity.json").exists():
        return
    changed = differing(read_json(folder / "identity.json"), identity)
    if changed:
        key, old, new = changed[0]
        what = f"the unfinished training here had {key} = {old}, this one has {new}"
        more = f" ({len(changed) - 1} more values differ)" if len(changed) > 1 else ""
        raise AbovoError(what + more, folder, "put the value back to go on, or remove the folder to start anew")


def _synced_length(path: Path) -> int:
    sync(path)
    return path.stat().st_size
