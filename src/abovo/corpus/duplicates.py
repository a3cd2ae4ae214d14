"""Find the documents of all sources that have a text, or a band of their sketches, in common.

Records (hash, document) are dealt out to files by the first bits of their hash, each small enough to be sorted in
`memory_mb`; equal hashes then stand side by side. Nothing depends on the order in which documents were read, the
ranges of hashes are independent jobs, and no index or filter is ever held in memory.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from abovo.console.progress import Progress
from abovo.corpus.keys import Part, parts_of
from abovo.corpus.together import check_job, check_parts
from abovo.provenance.code import Script
from abovo.provenance.files import SPARE_FILES, allow_open_files
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.corpus import Corpus

# A document that shares its hash with others: the group is the number of that hash.
SHARED = np.dtype([("part", "<u4"), ("index", "<u4"), ("group", "<u4")])
_EXACT = np.dtype([("hash", "<u8"), ("check", "<u8"), ("part", "<u4"), ("index", "<u4")])
_NEAR = np.dtype([("hash", "<u8"), ("part", "<u4"), ("index", "<u4")])
# Memory that one record takes while its file is sorted, a generous estimate (bytes); files open at a time.
_WORKING, _MOST_FILES = 96, 256
_32 = np.uint64(32)


def find_duplicates(
    corpus: Corpus, plan: Manifest, sources: Mapping[str, Sequence[Manifest]], job: int, output: Path,
    script: Script | Path,
) -> Manifest:  # fmt: skip
    """Write which documents share a hash, for the `job`-th range of hashes; sources in the corpus' order.

    The plan says which parts belong together; it decides nothing of what is found, so it is no input.
    """
    check_job(corpus, job)
    check_parts(corpus, plan, sources)
    rules = corpus.deduplication
    parts = parts_of(sources, rules.near.bands if rules.near else 0)
    settings = {"sources": list(sources), "job": job, "jobs": rules.jobs, "near": bool(rules.near)}

    def make(folder: Path) -> Made:
        for part in parts:
            part.verify()
        return Made(shared_documents(parts, rules.memory_mb, folder, job, rules.jobs))

    inputs = {f"part {part.number}": part.manifest for part in parts}
    return produce(Job(output, "abovo/duplicates/1", inputs, settings, script), make)


def shared_documents(
    parts: Sequence[Part], memory_mb: float, folder: Path, job: int = 0, jobs: int = 1
) -> dict[str, Any]:
    """Write `shared/{source}.bin` for the sources of `parts` and return the number of groups, exact ones first."""
    progress = Progress(f"duplicates, job {job + 1} of {jobs}")
    (folder / "shared").mkdir(parents=True)
    counts = {"documents": sum(part.documents for part in parts), "groups": 0, "exact_groups": 0}
    names = [part.source for part in parts]
    allow_open_files(len(set(names)) + _MOST_FILES + SPARE_FILES)
    with ExitStack() as stack:
        files = {
            name: stack.enter_context((folder / "shared" / f"{name}.bin").open("wb", 1 << 18))
            for name in dict.fromkeys(names)
        }
        bands = parts[0].bands_per_document if parts else 0
        for kind, each in ((_exact, 1), (_near, bands)):
            spilled = _spill(parts, kind, each, memory_mb, folder / f".{kind.__name__}", job, jobs)
            for number, path in enumerate(spilled):
                groups = _grouped(np.fromfile(path, _EXACT if kind is _exact else _NEAR))
                path.unlink()
                if len(groups):
                    made = int(groups["group"][-1]) + 1
                    groups["group"] += np.uint32(counts["groups"])
                    counts["groups"] += made
                    for source, rows in _by_source(groups, names):
                        files[source].write(rows.tobytes())
                progress.update(f"{counts['groups']:,} groups after file {number + 1}")
            if kind is _exact:
                counts["exact_groups"] = counts["groups"]
    progress.close(f"{counts['documents']:,} documents, {counts['exact_groups']:,} texts and "
                   f"{counts['groups'] - counts['exact_groups']:,} bands in common")  # fmt: skip
    return counts


def _exact(part: Part) -> Iterator[np.ndarray]:
    for first, keys in part.key_records():
        records = np.empty(len(keys), _EXACT)
        records["hash"], records["check"] = keys["high"], keys["low"]
        records["part"], records["index"] = part.number, np.arange(first, first + len(keys))
        yield records


def _near(part: Part) -> Iterator[np.ndarray]:
    if not part.bands_per_document:
        return
    for first, bands in part.band_records():
        index = np.arange(first, first + len(bands))
        for band in range(part.bands_per_document):
            records = np.empty(len(index), _NEAR)
            records["hash"], records["part"], records["index"] = (
                bands.reshape(len(index), -1)[:, band],
                part.number,
                index,
            )
            yield records


def _spill(
    parts: Sequence[Part], kind: Callable[[Part], Iterator[np.ndarray]], each: int, memory_mb: float, folder: Path,
    job: int, jobs: int,
) -> list[Path]:  # fmt: skip
    """Deal the records of this job's range of hashes out to files that fit in the memory."""
    records = sum(part.documents for part in parts) * each
    number = min(_MOST_FILES, max(1, math.ceil(records * _WORKING / jobs / (memory_mb * 1e6))))
    folder.mkdir()
    paths = [folder / str(file) for file in range(number)]
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb", 1 << 15)) for path in paths]
        for part in parts:
            for found in kind(part):
                ranges = (found["hash"] >> _32) * np.uint64(jobs)
                if jobs > 1:
                    mine = (ranges >> _32) == np.uint64(job)
                    found, ranges = found[mine], ranges[mine]
                if number == 1:
                    files[0].write(found.tobytes())
                    continue
                target = ((ranges & np.uint64(0xFFFFFFFF)) * np.uint64(number) >> _32).astype(np.int16)
                order = np.argsort(target, kind="stable")
                ends = np.searchsorted(target[order], np.arange(number), "right")
                found = found[order]
                begin = 0
                for file, end in zip(files, ends.tolist(), strict=True):
                    file.write(found[begin:end].tobytes())
                    begin = end
    return paths


def _grouped(records: np.ndarray) -> np.ndarray:
    """The records whose hash others have too, numbered by hash."""
    by = (records["check"], records["hash"]) if "check" in (records.dtype.names or ()) else (records["hash"],)
    order = np.lexsort(by) if len(by) > 1 else np.argsort(by[0], kind="stable")
    same = np.ones(max(0, len(records) - 1), bool)
    for column in by:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    if not same.any():
        return np.zeros(0, SHARED)
    ahead, behind = np.concatenate((same, [False])), np.concatenate(([False], same))
    found = np.empty(int((ahead | behind).sum()), SHARED)
    chosen = order[ahead | behind]
    found["part"], found["index"] = records["part"][chosen], records["index"][chosen]
    found["group"] = np.cumsum(~behind[ahead | behind]) - 1
    return found


def _by_source(groups: np.ndarray, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Records by source; the parts of a source stand together."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    source_of = np.array([numbers[name] for name in names])[groups["part"]]
    for name, number in numbers.items():
        rows = groups[source_of == number]
        if len(rows):
            yield name, rows
