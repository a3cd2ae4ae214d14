"""Say what a corpus far larger than this machine would take: its dry run is measured, all else reckoned from rates.

python benchmarks/scale.py                                    # 50B tokens in 1,000 parts: about a minute
python benchmarks/scale.py --tokens 1e12 --parts 1000 --duplicate-jobs 16 --disk 10

A project is written whose configuration describes the corpus (its files hold a line of made-up words each), and its dry
run is timed. The jobs are those that the workflow's own functions name. Their seconds and bytes come from RATES, each
measured elsewhere and named with its source; nodes, cores, memory and the shared disk are told (options) and not
measured. `scale_cluster.py` runs the jobs on simulated nodes.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

import yaml  # noqa: E402
from scale_cluster import Cluster, Job, longest_path, simulate  # noqa: E402

CORPUS, SOURCE = "large", "web"
GB = 1e9


class Rate(NamedTuple):
    value: float
    unit: str
    source: str


# Shares of stage A's processor time: reading 74 %, comparing 7 %, assembling 19 %.
SPLIT = "docs/corpus.md, stage A of web pages, by its jobs' shares in benchmarks/corpus.py --quick of 2026-11-28"
FILES = "docs/corpus-of-files.md, web"
RATES = {
    "read": Rate(13.1 / 0.74, "MB of text per CPU-second", SPLIT),
    "assemble": Rate(13.1 / 0.19, "MB of text per CPU-second", SPLIT),
    "duplicates": Rate(5e6 / 12, "documents per CPU-second", "docs/corpus.md, five million synthetic documents"),
    "pack": Rate(36, "MB of text per CPU-second", "docs/corpus.md, stage B of web pages, BPE"),
    "document": Rate(846, "tokens per document", FILES),
    "kept": Rate(1 - 362 / 5361, "documents kept of those read", FILES),
    "packed text": Rate(19.1 / 52.1, "bytes of a shard per byte of text", "docs/corpus-of-files.md, shards"),
    "submitted": Rate(22, "jobs per second", "docs/cluster.md, Many parts"),
    "train": Rate(412e3, "tokens per second on one H100, config/models/small", "docs/training-measurements.md"),
}
# Records of a document (bytes): its keys and band hashes, and a band's record while bands are compared.
KEYS, BAND, SPILLED = 40, 8, 16
BYTES_PER_TOKEN, BANDS, MEMORY_MB = 4.4, 14, 4096
# Of these files (duplicates.py) a job that compares deals its records out to at most so many.
MOST_FILES, WORKING = 256, 96


class Size(NamedTuple):
    """What a corpus is told to be."""

    tokens: float
    parts: int
    duplicate_jobs: int

    @property
    def text(self) -> float:
        """Bytes of text that are kept."""
        return self.tokens * BYTES_PER_TOKEN

    @property
    def read(self) -> float:
        """Bytes of text that are read."""
        return self.text / RATES["kept"].value

    @property
    def documents(self) -> float:
        return self.tokens / RATES["document"].value / RATES["kept"].value


def write_project(folder: Path, size: Size) -> None:
    """A project with one corpus, of one folder of as many files as parts."""
    (folder / "config/corpora").mkdir(parents=True)
    (folder / "config/config.yaml").write_text("{}\n")
    source = {"type": "local", "paths": "texts", "parts": size.parts, "licence": "none", "language": "en"}
    corpus = {
        "tokens": int(size.tokens), "weights": {SOURCE: 1.0}, "bytes_per_token": BYTES_PER_TOKEN,
        "deduplication": {"memory_mb": MEMORY_MB, "jobs": size.duplicate_jobs},
        "decontaminate": {"unchecked": "allow"}, "sources": {SOURCE: source},
    }  # fmt: skip
    (folder / f"config/corpora/{CORPUS}.yaml").write_text(yaml.safe_dump(corpus))
    (folder / "texts").mkdir()
    for number in range(size.parts):
        text = " ".join(f"word{number}x{place}" for place in range(20))
        (folder / f"texts/{number:05}.jsonl").write_text(json.dumps({"text": text}) + "\n")


class Timed(NamedTuple):
    seconds: float
    cpu_seconds: float
    said: str


def snakemake(folder: Path, *words: str) -> Timed:
    """One call of Snakemake in the project."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow/Snakefile"), *words]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - began, os.times()
    if done.returncode:
        sys.exit(f"snakemake failed:\n{(done.stdout + done.stderr)[-3000:]}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Timed(seconds, spent, done.stdout + done.stderr)


def dry_run(folder: Path) -> Timed:
    return snakemake(folder, f"results/corpora/{CORPUS}/manifest.json", "--dry-run")


def counted(said: str) -> dict[str, int]:
    """Jobs by rule as a dry run counts them."""
    table = said.rpartition("Job stats:")[2].partition("\n\n")[0]
    found = {name: int(number) for name, number in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    return {name: number for name, number in found.items() if name != "total"}


def start_of_a_job(folder: Path) -> float:
    """Seconds of a job that has next to nothing to read: under SLURM each starts a Snakemake and its script."""
    snakemake(folder, f"results/corpora/{CORPUS}/plan.json", "--cores", "1")
    return snakemake(folder, f"results/corpora/{CORPUS}/sources/{SOURCE}/0/manifest.json", "--cores", "1").seconds


class Here(NamedTuple):
    """What is measured on this machine: seconds of a job's start, bytes that sha256 takes in a second."""

    start: float
    hashed: float


def hashed_per_second(megabytes: int = 64) -> float:
    began = time.perf_counter()
    hashlib.sha256(bytes(megabytes * 10**6)).digest()
    return megabytes * 1e6 / (time.perf_counter() - began)


def jobs_of(project: Path, size: Size, here: Here) -> dict[str, Job]:
    """The jobs from the plan of the corpus to a trained model, by artifact, each after those that it names."""
    from abovo.config import inputs
    from abovo.config.runs import Configuration

    folder = Path.cwd()
    os.chdir(project)
    try:
        configuration, names = Configuration(Path("config"), "", ROOT / "config"), {"corpus": CORPUS}
        parts, duplicates = inputs.parts(configuration, names), inputs.duplicates(configuration, names)
        plan = inputs.plan_of_source(configuration, {**names, "source": SOURCE})
    finally:
        os.chdir(folder)
    packing, records = RATES["packed text"].value, size.documents * (KEYS + BANDS * BAND)
    spilled = size.documents * BANDS * SPILLED
    megabytes, share = size.text / 1e6, 1 / size.parts

    def job(rule: str, after: Sequence[str], seconds: float, read: float, written: float, memory: float) -> Job:
        return Job(rule, tuple(after), here.start + seconds, read, written, memory)

    # the plan hashes every file
    files = size.read * packing
    made = {plan: job("plan_corpus", (), files / here.hashed, files, 0, 2000)}
    # each part is packed text that is read, and packed text and records that are written
    each = size.read / 1e6 * share / RATES["read"].value
    for part in parts:
        written = (size.text * packing + records) * share
        made[part] = job("read_source", (plan,), each, files * share, written, 2000)
    compare = size.documents / RATES["duplicates"].value / len(duplicates)
    for one in duplicates:
        # every one passes over all records twice, once to verify them, and keeps its range
        passed, kept = 2 * records, 2 * spilled / len(duplicates)
        made[one] = job("find_duplicates", parts, compare, passed + kept / 2, kept / 2, MEMORY_MB + 500)
    corpus, rows = f"results/corpora/{CORPUS}/manifest.json", f"results/packed/{CORPUS}"
    seconds = megabytes / RATES["assemble"].value
    text = size.text * packing
    made[corpus] = job("assemble_corpus", (*parts, *duplicates), seconds, text + records, text, MEMORY_MB + 500)
    made[rows] = job("pack", (corpus,), megabytes / RATES["pack"].value, text, 2 * size.tokens, 1000)
    hours = size.tokens / RATES["train"].value
    made["results/pretrain"] = Job("pretrain", (rows,), hours, 2 * size.tokens, 0, 32000, gpus=1)
    return made


def limits(jobs: dict[str, Job], size: Size, cluster: Cluster, start: float) -> list[tuple[float, str]]:
    """(how many times as much there may be before it breaks, what it is), the nearest first."""
    rules = {job.rule: job for job in jobs.values()}
    part, hour = rules["read_source"].seconds, 3600
    files = size.documents * BANDS * WORKING / size.duplicate_jobs / (MEMORY_MB * 1e6)
    kept = size.documents * 3 / 1e6
    flow = (rules["read_source"].read + rules["read_source"].written) / part
    found = [
        (12 * hour / rules["assemble_corpus"].seconds, "assemble_corpus is one job: its 12 hours in rules/corpus.smk"),
        (hour / rules["plan_corpus"].seconds, "plan_corpus hashes all files: its hour in rules/corpus.smk"),
        (24 * hour / rules["pack"].seconds, "pack is one job: its 24 hours in rules/packing.smk"),
        (MOST_FILES / files, f"find_duplicates: {files:.1f} of {MOST_FILES} files of memory_mb ({MEMORY_MB} MB) each"),
        (MEMORY_MB / kept, f"assemble_corpus: {kept:,.0f} MB of flags, three bytes a document, of {MEMORY_MB} MB"),
        (24 * hour / part, f"read_source: {part / 60:.1f} minutes of 24 hours"),
        (1024 / size.parts, "parts of a source: 1,024 in config/corpora"),
    ]
    print(f"\nOf a part's {part:.0f} s {start / part:.0%} are its start. One core moves {flow / 1e6:.1f} MB/s, so "
          f"{cluster.disk / flow:,.0f} cores fill the disk of {cluster.disk / GB:g} GB/s.")  # fmt: skip
    return sorted(found)


def print_rates() -> None:
    print("\nRates\n")
    for name, rate in RATES.items():
        print(f"  {name:14}{rate.value:>14,.4g}  {rate.unit} ({rate.source})")


def print_stages(jobs: dict[str, Job]) -> None:
    print(f"\n{'stage':18}{'jobs':>7}{'hours of one core':>20}{'GB read':>10}{'GB written':>12}{'MB of memory':>14}")
    for rule in dict.fromkeys(job.rule for job in jobs.values()):
        own = [job for job in jobs.values() if job.rule == rule]
        hours, read, written = (
            sum(values) for values in zip(*((j.seconds, j.read, j.written) for j in own), strict=True)
        )
        hours = f"{hours / 3600:,.2f}" + (" (H100)" if own[0].gpus else "")
        print(f"{rule:18}{len(own):>7,}{hours:>20}{read / GB:>10,.1f}{written / GB:>12,.1f}{own[0].memory_mb:>14,.0f}")
    path = longest_path(jobs)
    told = " -> ".join(f"{jobs[name].rule} {jobs[name].seconds / 3600:.2f} h" for name in path)
    print(f"\nLongest path, {sum(jobs[name].seconds for name in path) / 3600:,.1f} hours: {told}")


def print_money(jobs: dict[str, Job]) -> None:
    hardware = yaml.safe_load((ROOT / "config/hardware/h100-sxm.yaml").read_text())
    hours, price = jobs["results/pretrain"].seconds / 3600, hardware["price_per_hour"]
    spent = sum(job.seconds for job in jobs.values() if not job.gpus) / 3600
    print(f"\nMoney: {hours:,.1f} hours of an H100 at {price} USD ({hardware['price_source']}): {hours * price:,.0f} "
          f"USD; {spent:,.1f} hours of a core, for which no price is known here")  # fmt: skip


def numbers(text: str) -> list[int]:
    """An argument type: numbers from one on, with commas between them."""
    found = [int(word) for word in text.split(",")]
    if min(found) < 1:
        raise ValueError
    return found


def print_nodes(jobs: dict[str, Job], nodes: Sequence[int], cluster: Cluster) -> None:
    """Hours to packed rows; what comes after is one job on a GPU."""
    rows = {name: job for name, job in jobs.items() if not job.gpus}
    print(f"\nHours to packed rows; nodes of {cluster.cores} cores and {cluster.memory_mb / 1000:g} GB, shared disk of "
          f"{cluster.disk / GB:g} GB/s\n")  # fmt: skip
    many = len(rows)
    heads = ("jobs: 100", f"jobs: {many}", "cores at work", "disk at work", "one job alone")
    print(f"{'nodes':>6}{''.join(f'{head:>15}' for head in heads)}")
    for number in nodes:
        found = [simulate(rows, cluster._replace(nodes=number, at_once=most)) for most in (100, many)]
        few, all_of_them = (one.seconds / 3600 for one in found)
        busy = found[1]
        print(f"{number:>6}{few:>15.2f}{all_of_them:>15.2f}{busy.cores_at_work:>15.1%}{busy.disk_at_work:>15.1%}"
              f"{busy.alone / busy.seconds:>15.1%}")  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=float, default=50e9, help="tokens of the corpus (default: 50e9)")
    parser.add_argument("--parts", type=int, default=1000, help="files, and parts of the source (default: 1000)")
    parser.add_argument("--duplicate-jobs", type=int, default=4, help="jobs that compare documents (default: 4)")
    parser.add_argument(
        "--nodes", type=numbers, default=[1, 2, 4, 8, 64], help="numbers of nodes (default: 1,2,4,8,64)"
    )
    parser.add_argument("--cores", type=int, default=32, help="cores of a node (default: 32)")
    parser.add_argument("--memory", type=float, default=128, help="memory of a node (GB, default: 128)")
    parser.add_argument("--disk", type=float, default=2, help="shared disk, reading and writing (GB/s, default: 2)")
    parser.add_argument("--runs", type=int, default=3, help="dry runs, of which the fastest is told (default: 3)")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    size = Size(options.tokens, options.parts, options.duplicate_jobs)
    cluster = Cluster(1, options.cores, options.memory * 1000, options.disk * GB, size.parts, RATES["submitted"].value)
    with tempfile.TemporaryDirectory(prefix="abovo-scale-") as place:
        project = Path(place) / "project"
        write_project(project, size)
        timed = min((dry_run(project) for _ in range(options.runs)), key=lambda one: one.seconds)
        here = Here(start_of_a_job(project), hashed_per_second())
        jobs = jobs_of(project, size, here)
    print(f"{size.tokens:,.0f} tokens, {size.text / GB:,.0f} GB of text in {size.parts:,} parts\n")
    number = sum(counted(timed.said).values())
    print(f"dry run of {number:,} jobs: {timed.seconds:.1f} s ({timed.cpu_seconds:.1f} s of a core), the fastest of "
          f"{options.runs}; start of a job: {here.start:.1f} s; sha256: {here.hashed / GB:.2f} GB/s")  # fmt: skip
    print_rates()
    print_stages(jobs)
    print_money(jobs)
    print_nodes(jobs, options.nodes, cluster)
    found = limits(jobs, size, cluster, here.start)
    print("\nWhat breaks first, and at how many times this corpus\n")
    for times, what in found:
        print(f"{times:>10,.1f}  {what}")


if __name__ == "__main__":
    main()
