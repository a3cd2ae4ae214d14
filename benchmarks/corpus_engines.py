"""Measure what carries the parts of a source through reading on two workers: Snakemake, Dask, Ray, or a plain pool.

python benchmarks/corpus_engines.py                                  # the embedded speeches, two sizes of parts
python benchmarks/corpus_engines.py --input FOLDER --megabytes 100 --parts 8 --rounds 3

All of them call the function that the workflow's rule calls, on the same parts. A turn begins with nothing running and
ends when all are written and the engine is down; turns alternate, each round begins with another engine. Ratios are to
the pool, two processes with nothing around them. The hashes of all documents written must be equal. Dask and Ray are
installed in an environment of their own below --work, which stays for the next call.
"""

import argparse
import importlib
import itertools
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import zstandard

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT / "src"), str(HERE)]

from peers import environment_with  # noqa: E402

WORKERS = 2
PEERS = ["dask[distributed]==2026.8.0", "ray==2.60.0"]
CORPUS, SOURCE = "parts", "text"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder of text files (default: the embedded speeches)")
    parser.add_argument("--column", default="text", help="column or key that holds the text (default: text)")
    parser.add_argument(
        "--megabytes", type=float, nargs="+", default=[2, 20],
        help="text of a part, repeated where there is less (MB, default: 2 20)",
    )  # fmt: skip
    parser.add_argument("--parts", type=int, default=8, help="parts of the source (default: 8)")
    parser.add_argument("--rounds", type=int, default=5, help="alternated rounds (default: 5)")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="default: all")
    parser.add_argument("--json", type=Path, help="file that receives the figures")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "abovo-benchmark-engines")
    parser.add_argument("--turn", nargs=2, metavar=("ENGINE", "FOLDER"), help=argparse.SUPPRESS)
    return parser.parse_args()


# --- one turn of each engine, in a process of its own


def read_part(spec: dict[str, Any]) -> None:
    """One part by the function of the rule `read_source`; what each worker calls."""
    importlib.import_module("engine").do_read(spec)


def by_pool(specs: list[dict[str, Any]], folder: Path) -> None:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(WORKERS) as pool:
        list(pool.map(read_part, specs))


def by_dask(specs: list[dict[str, Any]], folder: Path) -> None:
    distributed = importlib.import_module("distributed")
    words = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**words, local_directory=str(folder / "dask")) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.gather(client.map(read_part, specs, pure=False))


def by_ray(specs: list[dict[str, Any]], folder: Path) -> None:
    ray = importlib.import_module("ray")
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    task = ray.remote(read_part)
    ray.get([task.remote(spec) for spec in specs])
    ray.shutdown()


def by_snakemake(specs: list[dict[str, Any]], folder: Path) -> None:
    targets = [f"results/corpora/{CORPUS}/sources/{SOURCE}/{spec['part']}/manifest.json" for spec in specs]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", str(WORKERS)]
    done = subprocess.run([*command, *targets], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"snakemake failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


ENGINES: dict[str, Callable[[list[dict[str, Any]], Path], None]] = {
    "pool": by_pool, "snakemake": by_snakemake, "dask": by_dask, "ray": by_ray,
}  # fmt: skip


def turn(name: str, folder: Path) -> None:
    ENGINES[name](json.loads((folder / "specs.json").read_text()), folder)


# --- the contest


def prepare(folder: Path, source: Path, options: argparse.Namespace, megabytes: float) -> None:
    """A project with the corpus, its text in as many files as parts, its plan made, and what a worker is told."""
    import texts
    from corpus import settings

    shutil.rmtree(folder, ignore_errors=True)
    (folder / "config/corpora").mkdir(parents=True)
    (folder / "config/config.yaml").write_text('set: ""\n')
    documents: Iterator[str] = itertools.chain.from_iterable(
        texts.texts(source, options.column) for _ in itertools.count()
    )
    (folder / "text").mkdir()
    for part in range(options.parts):
        size = 0
        with (folder / f"text/{part:04d}.jsonl.zst").open("wb") as raw, zstandard.open(raw, "wb") as file:
            for number, text in enumerate(documents):
                file.write(orjson.dumps({"id": f"{part}#{number}", "text": text}) + b"\n")
                size += len(text.encode())
                if size >= megabytes * 1e6:
                    break
    values = settings({SOURCE: Path("text")}, "text")
    values["sources"][SOURCE]["parts"] = options.parts
    (folder / f"config/corpora/{CORPUS}.yaml").write_text(json.dumps(values))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    command.append(f"results/corpora/{CORPUS}/plan.json")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the plan failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    common = {"settings": values, "folder": f"results/corpora/{CORPUS}", "source": SOURCE}
    (folder / "specs.json").write_text(json.dumps([{**common, "part": part} for part in range(options.parts)]))


def measured(name: str, folder: Path, python: Path) -> float:
    """Seconds of a turn from nothing."""
    for place in ("sources", "../../logs", "../../settings/corpora/parts/sources"):
        shutil.rmtree(folder / f"results/corpora/{CORPUS}" / place, ignore_errors=True)
    environment = {
        **os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    interpreter = python if name in ("dask", "ray") else Path(sys.executable)
    command = [str(interpreter), str(Path(__file__).resolve()), "--turn", name, str(folder)]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    return time.perf_counter() - started


def hashes(folder: Path) -> dict[str, str]:
    """File -> hash of what the parts hold, by their manifests."""
    found = {}
    for path in sorted(folder.glob(f"results/corpora/{CORPUS}/sources/*/*/manifest.json")):
        outputs = json.loads(path.read_text())["outputs"]
        found |= {f"{path.parent.name}/{name}": one["sha256"] for name, one in outputs.items()}
    return found


def contest(folder: Path, options: argparse.Namespace, python: Path) -> dict[str, list[float]]:
    """Engine -> seconds by round; ends where one made other bytes."""
    found: dict[str, list[float]] = {name: [] for name in options.engines}
    expected: dict[str, str] = {}
    for number in range(options.rounds):
        shift = number % len(options.engines)
        for name in options.engines[shift:] + options.engines[:shift]:
            found[name].append(measured(name, folder, python))
            made = hashes(folder)
            expected = expected or made
            if made != expected or len(made) < options.parts:
                sys.exit(f"{name} made other bytes than {options.engines[0]}")
    return found


def ratio(seconds: list[float], pool: list[float]) -> str:
    """Geometric mean of the ratios of rounds, and its 95 % interval."""
    from recipe import interval

    found = interval([math.log(one / other) for one, other in zip(seconds, pool, strict=True)])
    mean, *ends = (value if value is None else f"{math.exp(value):.2f}" for value in found.values())
    return f"{mean} (one round)" if None in ends else f"{mean} ({ends[0]} to {ends[1]})"


def main() -> None:
    options = arguments()
    if options.turn:
        turn(options.turn[0], Path(options.turn[1]))
        return
    import texts

    options.work.mkdir(parents=True, exist_ok=True)
    python = Path(sys.executable)
    if {"dask", "ray"} & set(options.engines):
        python = environment_with(PEERS, options.work / "environment", others=True)
    source = (options.input or texts.write_embedded(options.work / "embedded")).resolve()
    result: dict[str, Any] = {}
    print(f"{options.parts} parts, {WORKERS} workers, {options.rounds} rounds; equal hashes of all parts\n")
    print(f"{'MB a part':>9}  {'engine':10}{'seconds':>9}  {'over the pool (95 %)':24}  seconds more a part")
    for megabytes in options.megabytes:
        folder = options.work / f"project-{megabytes:g}"
        prepare(folder, source, options, megabytes)
        found = contest(folder, options, python)
        pool = found.get("pool") or next(iter(found.values()))
        for name, seconds in found.items():
            # a worker has so many parts one after the other
            more = (statistics.median(seconds) - statistics.median(pool)) / (options.parts / WORKERS)
            median = statistics.median(seconds)
            print(f"{megabytes:>9g}  {name:10}{median:>9.1f}  {ratio(seconds, pool):24}  {more:+.2f}", flush=True)
        result[f"{megabytes:g}"] = found
        shutil.rmtree(folder)
    if options.json:
        options.json.write_text(json.dumps({"parts": options.parts, "seconds": result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
