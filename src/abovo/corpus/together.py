"""Refuse parts of sources, and comparisons of them, that do not belong together.

A manifest that was copied from another part, kept from an earlier revision or given twice is sound by itself: only what
it says of its place among the others shows that it is the wrong one.
"""

import json
from collections.abc import Mapping, Sequence

from abovo.console.progress import several
from abovo.corpus.reading import Reading, check_source
from abovo.errors import AbovoError
from abovo.provenance.differences import differing
from abovo.provenance.hashing import canonical_json
from abovo.provenance.manifest import Manifest
from abovo.settings.corpus import Corpus

MEND = "remove it and make it again"


def check_parts(corpus: Corpus, plan: Manifest, sources: Mapping[str, Sequence[Manifest]]) -> None:
    """Raise AbovoError unless each source has each of its parts once, in their order, all of them read at the revision
    that the plan fixes and with the settings of this corpus."""
    for name, own in sources.items():
        if name not in corpus.sources and own:
            raise AbovoError(f"the corpus has no source {name!r}", own[0].path, "leave it out")
    for name, source in corpus.sources.items():
        check_source(corpus, name, plan)
        reading = Reading.of(corpus, name, plan["sources"][name]["revision"]).parameters
        expected = json.loads(canonical_json({**reading, "parts": source.parts}))
        own = sources.get(name, ())
        for manifest in own:
            _check_part(manifest, expected, f"source {name}")
        _check_numbers(own, source.parts, f"source {name}")


def _check_part(manifest: Manifest, expected: Mapping[str, object], source: str) -> None:
    told = {key: manifest["parameters"].get(key) for key in expected}
    if told == expected:
        return
    if told["revision"] != expected["revision"]:
        raise AbovoError(f"was read at another revision of {source} than the plan fixes", manifest.path, MEND)
    key, had, wanted = differing(told, expected)[0]
    raise AbovoError(f"was read with other settings of {source}: {key} is {had}, not {wanted}", manifest.path, MEND)


def _check_numbers(manifests: Sequence[Manifest], parts: int, source: str) -> None:
    seen: dict[int, Manifest] = {}
    for manifest in manifests:
        number = manifest["parameters"]["part"]
        if other := seen.get(number):
            if other.path == manifest.path:
                raise AbovoError("is given twice", manifest.path, "name each part once")
            # of two that hold the same part the one is wrong that lies in the folder of another
            wrong, right = (manifest, other) if other.path.parent.name == str(number) else (other, manifest)
            raise AbovoError(f"holds part {number} of {source}, as {right.path} does", wrong.path, MEND)
        seen[number] = manifest
    if list(seen) != list(range(parts)):
        missing = ", ".join(str(number) for number in range(parts) if number not in seen)
        what = f"part {missing} of its {parts} is missing" if missing else "its parts are not in order"
        raise AbovoError(what, source, "read it first" if missing else "give them by their numbers")


def check_job(corpus: Corpus, job: int) -> None:
    """Raise AbovoError where the comparison of a corpus has no such job."""
    jobs = corpus.deduplication.jobs
    if not 0 <= job < jobs:
        raise AbovoError(f"the comparison has {several(jobs, 'job')}, numbered from 0", f"job {job}", "check it")


def check_comparisons(
    corpus: Corpus, sources: Mapping[str, Sequence[Manifest]], duplicates: Sequence[Manifest]
) -> None:
    """Raise AbovoError unless each range of hashes was compared once, and each time in just these parts."""
    jobs, digests = corpus.deduplication.jobs, [one.digest for name in corpus.sources for one in sources[name]]
    compared = {f"part {number}": digest for number, digest in enumerate(digests)}
    seen: dict[int, Manifest] = {}
    for one in duplicates:
        job = one["parameters"]["job"]
        if (one["parameters"]["jobs"], one["parameters"]["near"]) != (jobs, bool(corpus.deduplication.near)):
            raise AbovoError("was compared with other settings of deduplication", one.path, MEND)
        if {role: entry["digest"] for role, entry in one["inputs"].items()} != compared:
            raise AbovoError("compares other parts than those that are given", one.path, MEND)
        if job in seen or not 0 <= job < jobs:
            what = f"is job {job} of {jobs}" + (f", as {seen[job].path} is" if job in seen else "")
            raise AbovoError(what, one.path, MEND)
        seen[job] = one
    if missing := [str(job) for job in range(jobs) if job not in seen]:
        raise AbovoError(f"job {', '.join(missing)} of {jobs} is missing", "comparison", "run find_duplicates first")
