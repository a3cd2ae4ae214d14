"""Keep the live state of a training run so that it can go on after any death: lock, fingerprint, checkpoints, metrics.

The folder is never a declared output (Snakemake would delete it). A checkpoint is written under a temporary name,
fsynced and renamed; some are kept; one that is damaged is passed over for the one before it.
"""

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from abovo.errors import AbovoError
from abovo.provenance.differences import differing
from abovo.provenance.files import read_json, sync, write_json
from abovo.provenance.hashing import sha256_file, sha256_json
from abovo.provenance.locks import Lock, exclusive
from abovo.training.growing import NOTHING, Growing
from abovo.training.summary import TIMINGS

log = logging.getLogger("abovo")
STEP = re.compile(r"step-\d{9}")


class Unfit(AbovoError):
    """A checkpoint is sound, and what lies beside it does not go with it."""


@dataclass(frozen=True)
class State:
    """An open state folder; `metrics`, `timings` and `samples` are JSON lines that grow with the run.

    `lock` is what keeps others out, `identity` the hash of what the state belongs to.
    """

    folder: Path
    lock: Lock
    identity: str
    files: dict[str, Growing] = field(init=False)

    def __post_init__(self) -> None:
        grown = {path.name: Growing(path) for path in (self.metrics, self.timings, self.samples)}
        object.__setattr__(self, "files", grown)

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def micro_batch(self) -> Path:
        """Rows per micro-batch that were found, by the GPUs they were found for."""
        return self.folder / "micro_batch.json"

    @property
    def timings(self) -> Path:
        return self.folder / TIMINGS

    @property
    def samples(self) -> Path:
        return self.folder / "samples.jsonl"

    @property
    def logs(self) -> list[Path]:
        """Those of the files that grow which are there; a resumed run cuts them back to its checkpoint."""
        return [path for path in (self.metrics, self.timings, self.samples) if path.exists()]

    def marks(self) -> dict[str, Any]:
        """What a checkpoint of this moment notes of the files that grow."""
        return {name: file.mark() for name, file in self.files.items()}

    def save(
        self,
        step: int,
        content: dict[str, Any],
        *,
        marks: Mapping[str, Any] | None = None,
        last: int = 2,
        every: int | None = None,
        best: int | None = None,
    ) -> None:
        """Put a checkpoint of `content` (tensors, numbers, strings) on the disk.

        `marks` are those of the moment that `content` is of, where rows were added since. The newest `last` are kept,
        those of multiples of `every`, which outlive the state, and that of step `best`; the others go. Raises
        AbovoError where it cannot be written, or another process has taken the state over; what was there before is
        then still there.
        """
        self.lock.confirm()
        final = self._place(step)
        partial = final.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            stays = every is not None and step % every == 0
            self._write(partial, step, content, self.marks() if marks is None else marks, stays)
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
                shutil.rmtree(self._place(old))

    def _write(self, folder: Path, step: int, content: dict[str, Any], marks: Mapping[str, Any], stays: bool) -> None:
        folder.mkdir()
        for path in self.logs:
            sync(path)
        with (folder / "state.pt").open("wb") as file:
            torch.save(content, file)
        sync(folder / "state.pt")
        record = {
            "step": step,
            "sha256": sha256_file(folder / "state.pt"),
            "identity": self.identity,
            "files": marks,
            "stays": stays,
        }
        write_json(folder / "state.json", {**record, "digest": sha256_json(record)})
        sync(folder)

    def load(self) -> tuple[int, dict[str, Any]] | None:
        """The newest sound checkpoint as (step, content), with the files that grow cut back to it; None for a fresh
        start.

        One that is damaged, or that the files do not go back to, is passed over and removed. Raises AbovoError where
        sound ones are left that the files, or the training, do not go with; all is then as it was.
        """
        passed: dict[int, AbovoError] = {}
        found = None
        for step in self.steps():
            try:
                content, files = self._read(step)
                self._check(files)
            except AbovoError as error:
                passed[step] = error
                continue
            found = step, content
            break
        stranger = next((error for error in passed.values() if isinstance(error, Unfit)), None)
        if found is None and stranger is not None:
            mend = f"put it back as it was, or remove {self.folder} to begin the training again"
            raise AbovoError(f"{stranger.what}, and no older checkpoint fits", stranger.where, mend)
        for step, reason in passed.items():
            log.warning("checkpoint passed over: %s", reason)
            shutil.rmtree(self._place(step))
        for name, file in self.files.items():
            file.go_back(files[name] if found else NOTHING)
        return found

    def load_step(self, step: int) -> dict[str, Any]:
        """The content of one checkpoint; the metrics stay as they are. Raises AbovoError where it is damaged."""
        return self._read(step)[0]

    def _read(self, step: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The content of a checkpoint and the marks of the files that grow."""
        place = self._place(step)
        record = read_record(place)
        if record["identity"] != self.identity:
            raise Unfit("belongs to another training", place)
        if not (place / "state.pt").is_file():
            raise AbovoError("is missing", place / "state.pt")
        if sha256_file(place / "state.pt") != record["sha256"]:
            raise AbovoError("its bytes are not those that were written", place / "state.pt")
        return torch.load(place / "state.pt", map_location="cpu", weights_only=True), record["files"]

    def _check(self, files: Mapping[str, Mapping[str, Any]]) -> None:
        for name, file in self.files.items():
            if difference := file.differs(files[name]):
                raise Unfit(difference, file.path)

    def _place(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}"

    def append(self, path: Path, row: Mapping[str, Any]) -> None:
        self.files[path.name].append(row)

    def read(self, path: Path) -> bytes:
        """What one of the files that grow holds. Raises AbovoError where that is not what was written."""
        return self.files[path.name].read()

    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        return [json.loads(line) for line in self.read(self.metrics).splitlines()]

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, the newest first."""
        return sorted((int(path.name.removeprefix("step-")) for path in _checkpoints(self.folder)), reverse=True)


@contextmanager
def open_state(
    folder: Path,
    identity: Mapping[str, Any],
    needed_bytes: int,
    completed: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> Iterator[State]:
    """Lock the folder for this process and check that it belongs to this run.

    `identity` says what the state depends on (data, tokenizer, model, recipe; not the engine); what an earlier version
    said is `completed` before the two are compared, and stays what the checkpoints name. Raises AbovoError when
    another trainer holds the lock, when the folder holds the state of another identity (naming what differs), or when
    the disk has no room for two checkpoints of `needed_bytes` each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / "lock", "another trainer") as lock:
        identity = _agreed_identity(folder, identity, completed)
        for partial in folder.glob("step-*.partial"):
            shutil.rmtree(partial)
        free = shutil.disk_usage(folder).free
        if free < 2 * needed_bytes and not _checkpoints(folder):
            what = f"two checkpoints need {2 * needed_bytes:,} bytes, {free:,} are free"
            raise AbovoError(what, folder, "make space and start again")
        write_json(folder / "identity.json", identity)
        yield State(folder, lock, sha256_json(identity))


def discard_state(folder: Path) -> None:
    """Remove the state of a run whose product is complete; checkpoints that stay go to checkpoints/ beside it."""
    if not folder.exists():
        return
    with exclusive(folder / "lock", "another trainer"):
        staying = [place for place in _checkpoints(folder) if _stays(place)]
        if staying:
            target = folder.parent / "checkpoints"
            target.mkdir(exist_ok=True)
            for old in _checkpoints(target):
                shutil.rmtree(old)
            shutil.copyfile(folder / "identity.json", target / "identity.json")
            for place in staying:
                shutil.move(place, target / place.name)
        if folder.is_symlink():  # to another disk: what it points to goes, and the link
            target = folder.resolve()
            folder.unlink()
            shutil.rmtree(target)
        else:
            shutil.rmtree(folder)


def _checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints, the oldest first; a copy that somebody keeps beside them has another name."""
    return sorted(path for path in folder.glob("step-*") if STEP.fullmatch(path.name) and path.is_dir())


def read_record(place: Path) -> dict[str, Any]:
    """What a checkpoint says of itself. Raises AbovoError where that is damaged or belongs to another step."""
    path = place / "state.json"
    record = read_json(path)
    said = record.pop("digest", None) if isinstance(record, dict) else None
    if isinstance(record, dict) and said is None:
        raise Unfit("was written by an earlier version", path)
    if said != sha256_json(record) or f"step-{record['step']:09d}" != place.name:
        raise AbovoError("is not what was written", path)
    return record


def _stays(place: Path) -> bool:
    try:
        return bool(read_record(place)["stays"])
    except AbovoError as error:
        log.warning("checkpoint not kept: %s", error)
        return False


def _agreed_identity(
    folder: Path, identity: Mapping[str, Any], completed: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Mapping[str, Any]:
    """What the checkpoints there name, which means the same as `identity`; without any that itself."""
    if not _checkpoints(folder) or not (folder / "identity.json").exists():
        return identity
    held: Mapping[str, Any] = read_json(folder / "identity.json")
    changed = differing(held if held == identity else completed(held), identity)
    if changed:
        key, old, new = changed[0]
        what = f"the unfinished training here had {key} = {old}, this one has {new}"
        more = f" ({len(changed) - 1} more values differ)" if len(changed) > 1 else ""
        raise AbovoError(what + more, folder, "put the value back to go on, or remove the folder to start anew")
    return held
