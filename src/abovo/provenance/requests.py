"""Turn what the configuration asks of an artifact into a small file, which changes exactly when the artifact is due.

The workflow's rules take the file, `results/settings/...`, as an input, so that Snakemake decides by its content or,
where its own memory is gone, by its time. A job remembers beside its kept products which request it answered; what
stands is compared with that, so results that were copied, or whose files were removed, are told from sound ones.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abovo.provenance.differences import differing
from abovo.provenance.files import atomic_path, write_json
from abovo.provenance.hashing import canonical_json, sha256_bytes

ROOT = Path("results")
REQUESTS = ROOT / "settings"
Tell = Callable[[str], None]


def ask(output: Path, settings: Mapping[str, Any], code: str, tell: Tell) -> Path:
    """The request for the artifact whose manifest is `output`, written where it is not there as it should be.

    `tell` gets one line where the artifact stands and has to be made again, or stands on something that is gone.
    """
    place = place_of_request(output)
    assert place is not None, f"{output} does not lie under {ROOT}"
    wanted = json.loads(canonical_json({"settings": settings, "code": code}))
    standing = Standing(output, _read(output, inputs=dict, outputs=dict, parameters=dict), _remembered(output))
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
        _write(place, canonical_json(content))
    if standing.manifest and reasons and not _newer(place, output):
        os.utime(place)
    elif standing.manifest and not reasons:
        for line in standing.lost():
            tell(line)
        if _newer(place, output):  # what it says is answered, whenever it was written
            time = output.stat().st_mtime_ns
            os.utime(place, ns=(time, time))
    return place


def level_clocks(memory: Path = Path(".snakemake/metadata")) -> None:
    """Where Snakemake remembers nothing, give all that stands below results/ one time, that of the oldest file.

    Clocks of results that were copied say nothing, and Snakemake would go by them: then requests alone, which are
    written anew where something is due, are newer than what they ask for.
    """
    if not ROOT.is_dir() or (memory.is_dir() and any(memory.iterdir())):
        return
    live = {lease.parent for lease in ROOT.rglob("*.lease")}  # jobs at work there, and their locks live by clocks
    kinds = [folder for folder in ROOT.iterdir() if folder.name != ".cache"]  # which holds nothing that is asked for
    found = (path for folder in kinds for path in (folder, *folder.rglob("*")))
    paths = [path for path in found if not path.is_symlink() and (not live or live.isdisjoint((path, *path.parents)))]
    times = {path: _time(path) for path in paths}
    oldest = min((time for path, time in times.items() if time and path.is_file()), default=0)
    for path, time in times.items():
        if time not in (None, oldest):
            with suppress(FileNotFoundError):  # a job at work may move its files
                os.utime(path, ns=(oldest, oldest))


def _time(path: Path) -> int | None:
    """When a file was written (ns); None for one that is gone by now."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def answer(output: Path, settings: Mapping[str, Any], digest: str) -> None:
    """Remember that the artifact is what was requested, unless its script was given other settings than those."""
    place, memory = place_of_request(output), _memory(output)
    request = _read(place, settings=dict) if place is not None else None
    if request is not None and _agree(request.get("settings"), settings):
        write_json(memory, {**request, "digest": digest})
    else:
        memory.unlink(missing_ok=True)


def hand_over(output: Path, settings: Mapping[str, Any]) -> Path:
    """The file, beside the artifact's request, that tells its job all its settings, those too that decide nothing.

    It is named by its content: what a waiting job was given stays, whatever is planned meanwhile with other settings.
    """
    parts = output.with_suffix("").parts
    root = parts.index(ROOT.name)  # artifacts of a module may lie below a prefix
    text = canonical_json(settings)
    place = Path(*parts[:root], REQUESTS, *parts[root + 1 :], f"{sha256_bytes(text)[:12]}.json")
    if not place.is_file() or place.read_bytes() != text:
        _write(place, text)
    return place


def _write(place: Path, text: bytes) -> None:
    """A corpus of a thousand parts has two such files for each: they are not flushed to the disk one by one, since what
    a power cut leaves of them is written anew by the next plan."""
    with atomic_path(place, lasting=False) as temporary:
        temporary.write_bytes(text)


def place_of_request(output: Path) -> Path | None:
    """Where the request for an artifact lies; None for one outside of results/, which nobody requests.

    Each lies in a folder of its own: Snakemake lists a folder once while it plans, and would take for missing what is
    written there later, for another target in another order.
    """
    path = Path(os.path.relpath(output))
    return REQUESTS / path.relative_to(ROOT).with_suffix("") / "request.json" if path.is_relative_to(ROOT) else None


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
        if isinstance(absent := self.manifest.get("absent"), str):
            yield f"it was absent ({absent})"
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

    def _files(self) -> Iterator[tuple[Path, int | None]]:
        """(path, bytes) of what the manifest names: its files, and the figures that it was given."""
        for name, entry in (self.manifest or {}).get("outputs", {}).items():
            yield self.output.parent / name, entry["bytes"]
        yield from ((Path(name), None) for name in (self.manifest or {}).get("figures", ()))

    def _inputs(self) -> Iterator[tuple[str, Path, str]]:
        """(role, path, digest) of the inputs that have a manifest."""
        for role, entry in (self.manifest or {}).get("inputs", {}).items():
            if isinstance(entry, Mapping) and not Path(entry["path"]).is_dir():
                yield role, Path(entry["path"]), entry["digest"]


def _newer(path: Path, other: Path) -> bool:
    return path.stat().st_mtime_ns > other.stat().st_mtime_ns


def _agree(one: Any, other: Any) -> bool:
    """Whether two settings have equal values under all keys that both have, at any depth."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(_agree(one[key], other[key]) for key in one.keys() & other.keys())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_agree, one, other))
    return one == other


def _remembered(output: Path) -> dict[str, Any] | None:
    """The request that the artifact answered, as its job remembers it."""
    found = _read(_memory(output), settings=dict, code=str, digest=str, renewed=int)
    return found if found is not None and found.keys() >= {"settings", "code", "digest"} else None


def _read(path: Path, **kinds: type) -> dict[str, Any] | None:
    """A JSON object whose entries, where it has them, are of these kinds; None where there is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or any(not isinstance(found.get(key, kind()), kind) for key, kind in kinds.items()):
        return None
    return found
