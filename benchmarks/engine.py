"""One job of the corpus engine in a process of its own, measured: python benchmarks/engine.py SPEC.json

Prints {"cpu": CPU-seconds, "wall": seconds, "rss_mb": peak resident memory above the process's own imports} as JSON.
SPEC: job (read, duplicates, assemble, pack, tokenizer, calibrate or compare), settings (a resolved corpus), folder.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]
SCRIPTS = ROOT / "workflow/scripts"

import numpy as np  # noqa: E402
import orjson  # noqa: E402

from abovo.corpus import assemble, duplicates, keys, parts, read, survey  # noqa: E402
from abovo.packing import pack  # noqa: E402
from abovo.provenance.manifest import Manifest, read_manifest  # noqa: E402
from abovo.settings.corpus import Corpus  # noqa: E402
from abovo.settings.keys import build  # noqa: E402
from abovo.settings.tokenizer import TokenizerSettings  # noqa: E402
from abovo.tokenizing import count, load, train  # noqa: E402

Spec = dict[str, Any]


def _corpus(spec: Spec) -> Corpus:
    return build(Corpus, spec["settings"])


def _sources(spec: Spec):
    found = sorted(Path(spec["folder"]).glob("sources/*/*/manifest.json"))
    return parts.in_order(_corpus(spec), [read_manifest(path) for path in found])


def do_plan(spec: Spec) -> None:
    corpus, output = _corpus(spec), Path(spec["folder"]) / "plan.json"
    survey.plan_corpus(corpus, count.measures_of(corpus), output, SCRIPTS / "plan_corpus.py")


def do_read(spec: Spec) -> None:
    corpus, folder = _corpus(spec), Path(spec["folder"])
    output = folder / f"sources/{spec['source']}/{spec['part']}/manifest.json"
    planned = read_manifest(folder / "plan.json")
    read.read_source(
        corpus, spec["source"], spec["part"], planned, count.measures_of(corpus), output, SCRIPTS / "read_source.py"
    )


def do_duplicates(spec: Spec) -> None:
    folder = Path(spec["folder"])
    planned, output = read_manifest(folder / "plan.json"), folder / "duplicates/0/manifest.json"
    duplicates.find_duplicates(_corpus(spec), planned, _sources(spec), 0, output, SCRIPTS / "find_duplicates.py")


def do_assemble(spec: Spec) -> None:
    corpus, folder = _corpus(spec), Path(spec["folder"])
    assemble.assemble_corpus(
        corpus, read_manifest(folder / "plan.json"), _sources(spec),
        [read_manifest(folder / "duplicates/0/manifest.json")], count.measures_of(corpus), folder / "manifest.json",
        SCRIPTS / "assemble_corpus.py",
    )  # fmt: skip


def do_tokenizer(spec: Spec) -> None:
    corpus = read_manifest(Path(spec["folder"]) / "manifest.json")
    train.train_tokenizer(
        build(TokenizerSettings, spec["tokenizer_settings"]),
        corpus,
        Path(spec["tokenizer"]),
        SCRIPTS / "train_tokenizer.py",
    )


def do_pack(spec: Spec) -> None:
    corpus = read_manifest(Path(spec["folder"]) / "manifest.json")
    output = Path(spec["folder"]) / f"packed/{Path(spec['tokenizer']).parent.name}/manifest.json"
    pack.pack_corpus(corpus, load.load_tokenizer(Path(spec["tokenizer"])), 1024, output, SCRIPTS / "pack.py")


def do_calibrate(spec: Spec) -> None:
    """The unit of the machine: parse lines of JSON and split their text."""
    with Path(spec["lines"]).open("rb") as file:
        for line in file:
            orjson.loads(line)["text"].split()


def do_synthetic_keys(spec: Spec) -> None:
    """Hashes and bands of documents that do not exist, one in a hundred of them a copy of its neighbour."""
    draw, folder, bands = np.random.default_rng(1), Path(spec["folder"]), spec["bands"]
    with (folder / keys.KEYS).open("wb") as key_file, (folder / keys.BANDS).open("wb") as band_file:
        for block in keys.blocks(spec["documents"]):
            size = block.stop - block.start
            records = np.zeros(size, keys.KEY)
            records["position"] = np.arange(block.start, block.stop)
            for name in ("place", "high", "low"):
                records[name] = draw.integers(0, 1 << 64, size, np.uint64)
            sketches = draw.integers(0, 1 << 64, (size, bands), np.uint64)
            for name in ("high", "low"):
                records[name][1::100] = records[name][0 : size - 1 : 100]
            sketches[1::100] = sketches[0 : size - 1 : 100]
            records["tokens"], records["bytes"] = 500, 2000
            key_file.write(records.tobytes())
            band_file.write(sketches.tobytes())


def do_compare(spec: Spec) -> None:
    counts = {"documents": spec["documents"]}
    manifest = Manifest(Path(spec["folder"]) / "manifest.json", {"counts": counts, "until": None})
    part = keys.Part(0, "synthetic", manifest, spec["bands"])
    duplicates.shared_documents([part], spec["memory_mb"], Path(spec["folder"]) / "found")


JOBS: dict[str, Callable[[Spec], None]] = {
    name.removeprefix("do_"): job for name, job in list(globals().items()) if name.startswith("do_")
}


def status_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) / 1024


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    if spec.get("parquet"):
        import pyarrow.parquet  # noqa: F401
    job, before = JOBS[spec["job"]], status_mb("VmRSS")
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    started, cpu = time.perf_counter(), time.process_time()
    job(spec)
    wall, spent = time.perf_counter() - started, time.process_time() - cpu
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent += after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
    print(json.dumps({"cpu": spent, "wall": wall, "rss_mb": status_mb("VmHWM") - before}))


if __name__ == "__main__":
    main()
