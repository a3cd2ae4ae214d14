"""Turn what the configuration asks of an artifact into a small file, which changes exactly when the artifact is due.

The workflow's rules take the file, `results/settings/...`, as an input, so that Snakemake decides by its content or,
where its own memory is gone, by its time. A job remembers beside its kept products which request it answered; what
stands is compared with that, so results that were copied, or whose files were removed, are told from sound ones.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abovo.provenance.differences import differing
from abovo.provenance.files import write_json
from abovo.provenance.hashing import canonical_json

ROOT = Path("results")
REQUESTS = ROOT / "settings"
Tell = Callable[[str], None]


def ask(output: Path, settings: Mapping[str, Any], code: str, tell: Tell, besides: Sequence[Path] = ()) -> Path:
    """The request for the artifact whose manifest is `output`, written where it is not there as it should be.

    `besides` are manifests that its rule takes and its own does not name, since not all of them matters.
    `tell` gets one line where the artifact stands and has to be made again, or stands on something that is gone.
    """
    place = place_of_request(output)
    assert place is not None, f"{output} does not lie under {ROOT}"
    wanted = json.loads(canonical_json({"settings": settings, "code": code}))
    standing = Standing(output, _read(output), _read(_memory(output)))
    reasons = list(standing.reasons(wanted))
    if reasons and standing.manifest:
        tell(
            f"{output}: is made again, because {reasons[0]}" + (f" (and {len(reasons) - 1} more)" * (len(reasons) > 1))
        )
    renewed = (standing.answered or _read(place) or {}).get("renewed", 0)
    if reasons and standing.answers(wanted):
        renewed += 1
    content = {**wanted, "renewed": renewed}
    if _read(place) != content:
        write_json(place, content)
    if standing.manifest and reasons and not _newer(place, output):
        os.utime(place)
    elif standing.manifest and not reasons:
        for line in standing.lost():
            tell(line)
        standing.settle(place, besides)
    return place


def answer(output: Path, settings: Mapping[str, Any], digest: str) -> None:
    """Remember that the artifact is what was requested, unless its script was given other settings than those."""
    place, memory = place_of_request(output), _memory(output)
    request = _read(place) if place is not None else None
    if request is not None and _agree(request["settings"], settings):
        write_json(memory, {**request, "digest": digest})
    else:
        memory.unlink(missing_ok=True)


def place_of_request(output: Path) -> Path | None:
    """Where the request for an artifact lies; None for one outside of results/, which nobody requests."""
    path = Path(os.path.relpath(output))
    return REQUESTS / path.relative_to(ROOT) if path.is_relative_to(ROOT) else None


def _memory(output: Path) -> Path:
    return output.parent / ".products" / output.name / "request.json"


@dataclass(frozen=True)
class Standing:
    """An artifact as it stands: its manifest, and the request that it answered; None for what is not there."""

    output: Path
    manifest: dict[str, Any] | None
    answered: dict[str, Any] | None

    def reasons(self, wanted: Mapping[str, Any]) -> Iterator[str]:
        """Why it is due, each in a few words; nothing where it stands, or was never made."""
        if self.manifest is None:
            if self.answered is not None:
                yield "it is gone"
            return
        if not all(isinstance(entry, Mapping) for entry in self.manifest.get("inputs", {}).values()):
            yield "it was written by an earlier version"
        yield from self._changes(wanted)
        for path, size in self._files():
            if not path.exists():
                yield f"{path} is gone"
            elif size is not None and path.stat().st_size != size:
                yield f"{path} has another size than it lists"
        for role, path, digest in self._inputs():
            found = _read(path)
            if found is not None and found.get("digest") != digest:
                yield f"it was made from another state of its input {role}, {path}"

    def answers(self, wanted: Mapping[str, Any]) -> bool:
        """Whether the last request was this one, so that only a renewed one says something new."""
        own = self.answered
        return own is not None and (own["settings"], own["code"]) == (wanted["settings"], wanted["code"])

    def lost(self) -> Iterator[str]:
        """A line for each input that is gone and of which nothing is kept: what stands does not need it."""
        for _, path, _ in self._inputs():
            if not path.exists() and not _memory(path).exists():
                yield f"{path}: is gone, {self.output} was made from it and stands; make it: snakemake --cores 1 {path}"

    def settle(self, request: Path, besides: Sequence[Path] = ()) -> None:
        """Set the clocks of a request and of all inputs back to the artifact's own where they are later.

        By content the artifact is newer than they are; times say otherwise where files were copied.
        """
        time = min(_times(path for path, _ in self._files(bare=True)), default=0)
        time = min(time or self.output.stat().st_mtime_ns, self.output.stat().st_mtime_ns)
        _set_back(request, time)
        for path in map(Path, (self.manifest or {}).get("figures", ())):
            os.utime(path, ns=(time, time)) if path.stat().st_mtime_ns != time else None
        for path in (*(path for _, path, _ in self._inputs()), *besides):
            _settle_input(path, time)

    def _changes(self, wanted: Mapping[str, Any]) -> Iterator[str]:
        assert self.manifest is not None
        own = self.answered
        if own is not None and own["digest"] == self.manifest.get("digest"):
            changed = differing(own["settings"], wanted["settings"])
            yield from (f"{key} changed from {old} to {new}" for key, old, new in changed)
            if not changed and own["code"] != wanted["code"]:
                yield "its code changed"
        elif not _agree(wanted["settings"], self.manifest.get("parameters", {})):
            yield "it was made with other settings"
        elif self.manifest.get("created_by", {}).get("code") != wanted["code"]:
            yield "it was made by other code"

    def _files(self, bare: bool = False) -> Iterator[tuple[Path, int | None]]:
        """(path, bytes) of what the manifest names: its files and, unless `bare`, the figures that it was given."""
        for name, entry in (self.manifest or {}).get("outputs", {}).items():
            yield self.output.parent / name, entry["bytes"]
        if not bare:
            yield from ((Path(name), None) for name in (self.manifest or {}).get("figures", ()))

    def _inputs(self) -> Iterator[tuple[str, Path, str]]:
        """(role, path, digest) of the inputs that have a manifest."""
        for role, entry in (self.manifest or {}).get("inputs", {}).items():
            if isinstance(entry, Mapping) and not Path(entry["path"]).is_dir():
                yield role, Path(entry["path"]), entry["digest"]


def _settle_input(output: Path, time: int) -> None:
    """Make an artifact, and all that it was made from in turn, no later than `time`."""
    standing = Standing(output, _read(output), None)
    if standing.manifest is None or output.stat().st_mtime_ns <= time:
        return
    request = place_of_request(output)
    if request is not None and request.exists() and not _newer(request, output):
        # one that is newer says that the artifact is due, or has not been looked at yet
        _set_back(request, time)
    files = {output, *(file for file, _ in standing._files(bare=True))}
    for path in files:
        _set_back(path, time)
        if path.parent != output.parent:
            _set_back(path.parent, time)
            _set_back(path.parent / ".snakemake_timestamp", time)
    oldest = min(_times(iter(files)))
    for _, path, digest in standing._inputs():
        if (_read(path) or {}).get("digest") == digest:
            _settle_input(path, oldest)


def _set_back(path: Path, time: int) -> None:
    if path.exists() and path.stat().st_mtime_ns > time:
        os.utime(path, ns=(time, time))


def _times(paths: Iterator[Path]) -> list[int]:
    return [path.stat().st_mtime_ns for path in paths if path.exists()]


def _newer(path: Path, other: Path) -> bool:
    return path.stat().st_mtime_ns > other.stat().st_mtime_ns


def _agree(one: Any, other: Any) -> bool:
    """Whether two settings have equal values under all keys that both have, at any depth."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(_agree(one[key], other[key]) for key in one.keys() & other.keys())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_agree, one, other))
    return one == other


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none, or nothing that can be read as one."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
