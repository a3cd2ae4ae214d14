"""Make an artifact once: run the work, or put the finished product of an equal earlier run in place.

A job's fingerprint covers its inputs' digests, its resolved settings and its code. Finished products stay read-only in
`.products/` beside the artifact, under their fingerprint; the declared outputs are hard links to them. A job whose
fingerprint is known takes seconds, whatever it would cost to run.
"""

import contextlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import abovo
from abovo.errors import AbovoError
from abovo.provenance.code import Script
from abovo.provenance.differences import differing
from abovo.provenance.environment import environment, peak_memory_bytes
from abovo.provenance.files import link_or_copy, sync, write_json
from abovo.provenance.hashing import canonical_json, sha256_file, sha256_json
from abovo.provenance.locks import exclusive
from abovo.provenance.manifest import Manifest, digest_of, read_manifest
from abovo.provenance.requests import answer

log = logging.getLogger("abovo")
KEPT_PRODUCTS = 2


@dataclass(frozen=True)
class Job:
    """One artifact to be made.

    `output` is the path of its manifest, `schema` the manifest's schema name, `settings` everything from the
    configuration that can change a byte, `script` the running script (a path: one without settings of its own).
    """

    output: Path
    schema: str
    inputs: Mapping[str, Manifest]
    settings: Mapping[str, Any]
    script: Script | Path

    @property
    def code(self) -> str:
        return (self.script if isinstance(self.script, Script) else Script(self.script)).code

    @property
    def fingerprint(self) -> str:
        inputs = {name: manifest.digest for name, manifest in self.inputs.items()}
        parts = {"inputs": inputs, "settings": self.settings, "code": self.code, "schema": self.schema}
        return sha256_json(parts)


@dataclass(frozen=True)
class Made:
    """What the work reports: `counts` and further `fields` for the manifest, and the names of the files whose bytes
    may differ between equal runs (`unhashed`: clocks, memory) and which therefore stay out of it. What is `measured`
    by a clock stands in the manifest outside its digest, or beside it in the `record`."""

    counts: Mapping[str, Any]
    fields: Mapping[str, Any] = field(default_factory=dict)
    unhashed: tuple[str, ...] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)


def _nothing() -> None:
    pass


def produce(
    job: Job,
    make: Callable[[Path], Made],
    waiting: Callable[[], None] = _nothing,
    placed: Callable[[], None] = _nothing,
) -> Manifest:
    """Put the job's artifact in place and return its manifest.

    `make` gets an empty folder, writes the artifact's files into it and returns what the manifest says of them.
    Nothing appears at the declared place before all of it is complete and on the disk.

    Where another process makes the artifact, this one waits and calls `waiting` now and then: Snakemake would delete
    what the other one places if this one failed. What it then finds made to its own request it has not to make.
    `placed` is called before the next one gets its turn.
    """
    store, product = _places(job)
    with exclusive(store / "lock", f"the job that makes {job.output}", waiting) as lock:
        for handler in log.handlers:
            handler.flush()  # from here on the job's log is this process's
        if _is_sound(product, job.output.name):
            log.info("%s: inputs, settings and code are known; put in place, nothing computed", job.output)
        else:
            log.info("%s: %s", job.output, reason(job, store))
            _make(job, make, product)
        lock.confirm()
        _put_in_place(product, job.output)
        _prune(store, product)
        manifest = read_manifest(job.output)
        answer(job.output, job.script.settings if isinstance(job.script, Script) else {}, manifest.digest)
        placed()
    return manifest


def is_kept(job: Job) -> bool:
    """Whether the job has nothing to compute, since its product is kept."""
    return _is_sound(_places(job)[1], job.output.name)


def _places(job: Job) -> tuple[Path, Path]:
    """Where the products of an artifact are kept, and where that of this job is."""
    store = job.output.parent / ".products" / job.output.name
    return store, store / job.fingerprint[:32]


def reason(job: Job, store: Path) -> str:
    """Why the job has to run: what differs from the last time that its artifact was made here."""
    kept = [path for path in store.iterdir() if (path / job.output.name).is_file()]
    if not kept:
        return "made for the first time here"
    try:
        last = read_manifest(max(kept, key=lambda path: path.stat().st_mtime_ns) / job.output.name)
    except AbovoError:
        return "made again, because the kept product is damaged"
    before = {role: one["digest"] for role, one in last["inputs"].items()}
    now = {role: manifest.digest for role, manifest in job.inputs.items()}
    changed = [f"input {role}" for role in sorted(before.keys() | now.keys()) if before.get(role) != now.get(role)]
    settings = differing(last["parameters"], json.loads(canonical_json(job.settings)))
    changed += [f"setting {key} {old} -> {new}" for key, old, new in settings[:3]]
    changed += [f"{len(settings) - 3} more setting" + "s" * (len(settings) > 4)] if len(settings) > 3 else []
    if last["created_by"]["code"] != job.code:
        changed.append("code")
    return "made again, because these changed: " + "; ".join(changed or ["files of the kept product"])


def _make(job: Job, make: Callable[[Path], Made], product: Path) -> None:
    partial = product.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(product, ignore_errors=True)
    partial.mkdir(parents=True)
    started, worked = time.time(), time.process_time()
    try:
        made = make(partial)
        _write_manifest(job, made, partial, started, worked)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    readable = 0o444 & ~_umask()
    for path in sorted(partial.rglob("*"), reverse=True):
        if path.is_file():
            # safetensors writes for the owner alone; a group that shares results is to read them
            path.chmod(readable)
        sync(path)
    sync(partial)
    partial.replace(product)
    sync(product.parent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write_manifest(job: Job, made: Made, folder: Path, started: float, worked: float) -> None:
    outputs = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in made.unhashed:
            outputs[name] = _described(path)
    data = {
        "schema": job.schema,
        "created_by": {"version": abovo.__version__, "code": job.code, "path": _relative(job.output)},
        "inputs": {
            role: {"path": _relative(manifest.path), "digest": manifest.digest} for role, manifest in job.inputs.items()
        },
        "outputs": outputs,
        "parameters": dict(job.settings),
        "counts": dict(made.counts),
        **({"measured": dict(made.measured)} if made.measured else {}),
    }
    assert not data.keys() & made.fields.keys(), "a field of the artifact's own has the name of one of every manifest"
    data |= made.fields
    data["digest"] = digest_of(data)
    write_json(folder / job.output.name, data)
    beside = [name for name in (job.output.name, *made.unhashed) if (folder / name).is_file()]
    record = {
        # the manifest's own bytes, of which its digest leaves some out, and those of the files that it does not list
        "files": {name: _described(folder / name) for name in beside},
        "environment": environment(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.time() - started, 3),
        "cpu_seconds": round(time.process_time() - worked, 3),
        "peak_memory_bytes": peak_memory_bytes(),
        **made.record,
    }
    record["digest"] = sha256_json(record)
    write_json(folder / _record_name(job.output), record)


def _described(path: Path) -> dict[str, Any]:
    return {"sha256": sha256_file(path), "bytes": path.stat().st_size}


def _record_name(output: Path) -> str:
    return f"{output.stem}.record.json"


def _relative(path: Path) -> str:
    return Path(os.path.relpath(path)).as_posix()


def _is_sound(product: Path, name: str) -> bool:
    """Whether a finished product is there with every byte that its manifest lists."""
    if not (product / name).is_file():
        return False
    try:
        read_manifest(product / name).verify()
    except AbovoError as error:
        log.warning("%s; the kept product is discarded and made again", error)
        return False
    return True


def _put_in_place(product: Path, output: Path) -> None:
    """Hard-link the product's files beside `output`, the manifest last, and drop what an earlier product left there."""
    files = [path.relative_to(product) for path in sorted(product.rglob("*")) if path.is_file()]
    for file in _listed(output) - set(files):
        (output.parent / file).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (output.parent / file).parent.rmdir()  # if it held nothing else
    for folder in {file.parent for file in files if file.parent != Path()}:
        target = output.parent / folder
        for old in target.iterdir() if target.is_dir() else ():
            if old.is_file() and old.relative_to(output.parent) not in files:
                old.unlink()
    for file in sorted(files, key=lambda file: (file.name == output.name, file)):
        link_or_copy(product / file, output.parent / file)
    sync(output.parent)


def _listed(output: Path) -> set[Path]:
    """The files that the manifest of an earlier product names; nothing where there is none, or an altered one."""
    with contextlib.suppress(AbovoError):
        return set(map(Path, read_manifest(output)["outputs"]))
    return set()


def _prune(store: Path, newest: Path) -> None:
    """Keep the newest products of this artifact, `KEPT_PRODUCTS` in all, and remove the others."""
    os.utime(newest)
    products = sorted((path for path in store.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime_ns)
    for path in products[:-KEPT_PRODUCTS]:
        shutil.rmtree(path)
