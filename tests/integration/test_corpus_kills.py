"""Jobs of a corpus that are killed, or that fill the disk, are followed by the same bytes; damage to what they left is
noticed by the job that uses it.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import small_disk
import small_world
from corpus_jobs import resolved
from hub_server import Hub

from abovo.provenance.code import code_hash
from abovo.settings.keys import plain

ROOT = Path(__file__).resolve().parents[2]
# Runs a script and kills its process at the n-th call that makes something last, or never; tells how many there were.
KILLER = """
import atexit, os, runpy, signal, sys
seen, end = 0, int(sys.argv[1])
def counted(function):
    def call(*arguments, **options):
        global seen
        seen += 1
        if seen == end:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call
for name in ("replace", "rename", "link", "fsync", "mkdir", "rmdir", "unlink", "chmod", "utime", "open"):
    setattr(os, name, counted(getattr(os, name)))
atexit.register(lambda: print("calls", seen))
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
PART = "sources/letters"


@dataclass(frozen=True)
class Job:
    """One job of the corpus: its script, its output and the other arguments, with paths below the corpus' folder."""

    stage: str
    output: str
    arguments: tuple[str, ...]

    def command(self, settings: str) -> list[str]:
        script = str(ROOT / f"workflow/scripts/{self.stage}.py")
        given = () if self.stage == "pack" else ("--settings", settings)
        return [script, *given, *self.arguments, "--output", self.output]


READ = ("--source", "letters", "--plan", "plan.json")
PARTS = (f"{PART}/0/manifest.json", f"{PART}/1/manifest.json")
JOBS = (
    Job("plan_corpus", "plan.json", ()),
    *(Job("read_source", path, (*READ, "--part", str(number))) for number, path in enumerate(PARTS)),
    Job("find_duplicates", "duplicates/0/manifest.json", ("--plan", "plan.json", "--sources", *PARTS)),
    Job(
        "assemble_corpus", "manifest.json",
        ("--plan", "plan.json", "--sources", *PARTS, "--duplicates", "duplicates/0/manifest.json"),
    ),
    Job(
        "pack", "packed/manifest.json",
        ("--corpus", "manifest.json", "--tokenizer", "tokenizer/tokenizer_config.json", "--sequence-length", "64"),
    ),
)  # fmt: skip
STAGES = sorted({job.stage for job in JOBS})


@dataclass(frozen=True)
class World:
    """A corpus' folder, the settings of its jobs, the tokenizer that it is packed with, and what the environment of
    the jobs has besides."""

    folder: Path
    settings: str
    tokenizer: Path
    variables: tuple[tuple[str, str], ...] = ()

    def run(self, job: Job, kill_at: int = 0) -> subprocess.CompletedProcess:
        self.folder.mkdir(exist_ok=True)
        if not (self.folder / "tokenizer").exists():
            (self.folder / "tokenizer").symlink_to(self.tokenizer)
        command = [sys.executable, "-c", KILLER, str(kill_at), *job.command(self.settings)]
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **dict(self.variables)}
        return subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, check=False, timeout=100
        )

    def finish(self, job: Job) -> int:
        """Run to the end; how many lasting calls it made."""
        done = self.run(job)
        assert done.returncode == 0, done.stderr
        return int(done.stdout.split()[-1])

    def kill_after(self, job: Job, seconds: float) -> int:
        """Kill the job so long after it began to write, unless it is done by then; its exit status."""
        store = self.folder / Path(job.output).parent / ".products"
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, *job.command(self.settings)]
        with subprocess.Popen(command, cwd=self.folder, env=env, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and not list(store.glob("*/*.partial")):
                time.sleep(0.002)
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
            return process.wait()

    def forget(self, job: Job) -> None:
        """Remove what a job made, so that it has to be made again."""
        output = self.folder / job.output
        output.unlink(missing_ok=True)
        output.with_name(f"{output.stem}.record.json").unlink(missing_ok=True)
        shutil.rmtree(output.parent / ".products" / output.name, ignore_errors=True)

    def declared(self) -> dict[str, str]:
        """The sha256 of every file that the corpus' jobs declare, a manifest's without what wrote it and how fast."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            ours = ".products" not in name and not name.endswith("record.json") and not name.startswith("tokenizer")
            if path.is_file() and ours:
                data = path.read_bytes()
                if name.endswith(".json"):
                    data = json.dumps({**json.loads(data), "created_by": None, "measured": None}).encode()
                found[name] = hashlib.sha256(data).hexdigest()
        return found


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Two files of text of which the second repeats some of the first."""
    raw = tmp_path_factory.mktemp("raw")
    draw = random.Random(3)
    words = ["".join(draw.choices("abcdefghij", k=draw.randrange(2, 9))) for _ in range(3000)]
    texts = [" ".join(draw.choices(words, k=draw.randrange(20, 250))) for _ in range(1500)]
    for name, some in (("a", texts[:900]), ("b", texts[800:])):
        (raw / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in some))
    source = {"type": "local", "paths": str(raw), "parts": 2, "licence": "CC0", "language": "en"}
    corpus = {"description": "", "bytes_per_token": 3.0, "shard_mb": 0.3, "sources": {"letters": source}}
    return json.dumps(plain(resolved(corpus)))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    return small_world.make_tokenizer(folder, small_world.make_corpus(folder)).parent


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, settings, tokenizer):
    """A corpus for which nothing went wrong, how many lasting calls each job made, and the seconds that it took."""
    world = World(tmp_path_factory.mktemp("undisturbed") / "corpus", settings, tokenizer)
    calls, seconds = {}, {}
    for stage in STAGES:
        # what is read of the sources is kept at the first reading, by calls that no later job makes
        code_hash(ROOT / f"workflow/scripts/{stage}.py")
    for job in JOBS:
        started = time.monotonic()
        calls[job.output] = world.finish(job)
        seconds[job.output] = time.monotonic() - started
    return world, calls, seconds


def before(folder: Path, settings: str, undisturbed: World, stage: str) -> tuple[World, list[Job]]:
    """A corpus for which nothing of a stage and those after it was made yet, and the jobs that are left to run."""
    shutil.copytree(undisturbed.folder, folder, symlinks=True)
    world = World(folder, settings, undisturbed.tokenizer)
    first = next(number for number, job in enumerate(JOBS) if job.stage == stage)
    for job in JOBS[first:]:
        world.forget(job)
    return world, list(JOBS[first:])


def test_a_job_killed_in_each_stage_is_followed_by_the_same_bytes(tmp_path, settings, undisturbed):
    """One kill per stage, at a call drawn by lot; the slow test has many."""
    whole, calls, _ = undisturbed
    world, draw, killed = World(tmp_path / "corpus", settings, whole.tokenizer), random.Random(11), set()
    for job in JOBS:
        if job.stage not in killed:
            done = world.run(job, draw.randint(1, calls[job.output]))
            assert done.returncode == -signal.SIGKILL, done.stderr
            killed.add(job.stage)
        world.finish(job)
    assert world.declared() == whole.declared()


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_killed_five_times_at_random_is_followed_by_the_same_bytes(tmp_path, settings, undisturbed, stage):
    whole, calls, seconds = undisturbed
    expected, draw = whole.declared(), random.Random(stage)
    world, (job, *after) = before(tmp_path / "corpus", settings, whole, stage)
    killed = number = 0
    while killed < 5:
        number += 1
        if number % 2:
            status = world.run(job, draw.randint(1, calls[job.output])).returncode
        else:
            status = world.kill_after(job, draw.uniform(0, seconds[job.output] / 2))
        left = world.declared()
        assert {name: left[name] for name in left if name in expected}.items() <= expected.items()
        assert status in (0, -signal.SIGKILL)
        killed += status != 0
        if status == 0:
            world.forget(job)
    for rest in (job, *after):
        world.finish(rest)
    assert world.declared() == expected


@pytest.mark.slow
def test_a_corpus_from_a_hub_that_fails_while_its_jobs_are_killed_has_the_same_bytes(tmp_path, tokenizer):
    import pyarrow
    import pyarrow.parquet

    texts = [
        f"{number} {number**9} words of a letter, long enough to be kept here as they are" for number in range(800)
    ]
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "train.parquet", row_group_size=100)
    source = {"type": "huggingface", "dataset": "people/letters", "parts": 2, "licence": "CC0", "language": "en"}
    corpus = {
        "description": "", "bytes_per_token": 3.0, "min_characters": 10, "validation_share": 0.1,
        "sources": {"letters": source},
    }  # fmt: skip
    settings, declared = json.dumps(plain(resolved(corpus))), []
    with Hub() as hub:
        hub.publish("people/letters", {"train.parquet": (tmp_path / "train.parquet").read_bytes()})
        for name in ("undisturbed", "disturbed"):
            variables = (("HF_ENDPOINT", hub.url), ("HF_HOME", str(tmp_path / name / "home")))
            world = World(tmp_path / name, settings, tokenizer, variables)
            for job in JOBS:
                if name == "disturbed" and job.stage in ("plan_corpus", "read_source"):
                    hub.faults.clear()
                    hub.fault("status", every=4)
                    hub.fault("cut", match="parquet", after=500, every=3)
                    assert world.run(job, 12).returncode in (0, -signal.SIGKILL)
                world.finish(job)
            shutil.rmtree(tmp_path / name / "home", ignore_errors=True)
            declared.append(world.declared())
    assert declared[0] == declared[1] and "manifest.json" in declared[0]


@pytest.mark.parametrize("how", ["altered", pytest.param("cut short", marks=pytest.mark.slow)])
def test_a_part_that_was_damaged_later_is_named_by_the_job_that_uses_it(tmp_path, settings, undisturbed, how):
    *_, duplicates, assemble, _ = JOBS
    world, _ = before(tmp_path / "corpus", settings, undisturbed[0], "assemble_corpus")
    part = world.folder / PART / "1"
    for job, damaged in ((assemble, part / "documents.jsonl.zst"), (duplicates, _largest(part, "keys"))):
        whole = damaged.read_bytes()
        data = bytearray(whole)
        data[len(data) // 2] ^= 1
        damaged.chmod(0o644)
        damaged.write_bytes(data if how == "altered" else data[:-8])
        world.forget(job)
        done = world.run(job)
        assert done.returncode == 1 and damaged.name in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) <= 3 and "unexpected" not in done.stderr
        damaged.write_bytes(whole)


def _largest(folder: Path, part_of_name: str) -> Path:
    return max(folder.glob(f"*{part_of_name}*"), key=lambda path: path.stat().st_size)


@pytest.fixture
def disk(tmp_path):
    """A disk of 600 KB that can be made larger."""
    with small_disk.small_disk(tmp_path / "disk", 600) as mounted:
        if not mounted:
            pytest.skip("needs root and leave to mount a small tmpfs")
        yield tmp_path / "disk"


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_work_goes_on_after_space_is_made(disk, settings, undisturbed):
    world = World(disk / "corpus", settings, undisturbed[0].tokenizer)
    failed, size = 0, 600
    for job in JOBS:
        while (done := world.run(job)).returncode:
            assert done.returncode == 1
            lines = done.stderr.strip().splitlines()
            assert "no space left on the device" in lines[-1] and "make space and start again" in lines[-1], lines
            assert not (world.folder / job.output).exists()
            failed += 1
            size += 700
            small_disk.enlarge(disk, size)
    assert failed >= 2
    assert world.declared() == undisturbed[0].declared()
