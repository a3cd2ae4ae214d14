"""A workflow of one rule, the training script on a tiny model: to be interrupted, and to be started twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from training_lives import ROOT, SCRIPT, Data, nano_like

from abovo.config.engines import launcher
from abovo.settings.engine import Engine

SNAKEFILE = """
import atexit, sys
from pathlib import Path
sys.path.insert(0, {source!r})
from abovo.console.last_words import last_words

rule pretrain:
    output: manifest="results/pretrain/nano/manifest.json", model="results/pretrain/nano/model/model.safetensors",
    log: "results/logs/pretrain/nano.log"
    shell:
        "exec {launcher} {script} --label pretraining --settings settings.json --tokenizer {tokenizer}"
        " --sets small={packed} --state results/pretrain/nano/state --output {{output.manifest}} --log {{log}}"

rule after:
    default_target: True
    input: rules.pretrain.output.model
    output: "results/size"
    shell: "sleep 3; wc -c < {{input}} > {{output}}"

onerror:
    for line in last_words(map(Path, log)):
        atexit.register(print, line, file=sys.stderr)
"""

SCRIPTS = ROOT / "workflow/scripts"


@dataclass(frozen=True)
class SmallWorkflow:
    """`steps` decides how long the training takes; a step is milliseconds."""

    folder: Path
    data: Data
    steps: int
    processes: int = 1

    def __post_init__(self) -> None:
        settings = nano_like(self.processes)
        training = {**settings["training"], "checkpoint_interval": 100_000, "validation_interval": 100_000}
        self.folder.mkdir(parents=True, exist_ok=True)
        values = {**settings, "tokens": self.steps * 512, "training": training}
        (self.folder / "settings.json").write_text(json.dumps(values))
        values = {
            "source": str(ROOT / "src"), "script": SCRIPT, "tokenizer": self.data.tokenizer, "packed": self.data.packed,
            "launcher": launcher(Engine(kind="torch", processes=self.processes), 1, f"{SCRIPTS}/{{}}.py".format),
        }  # fmt: skip
        (self.folder / "Snakefile").write_text(SNAKEFILE.format(**values))

    @property
    def place(self) -> Path:
        return self.folder / "results/pretrain/nano"

    @property
    def log(self) -> Path:
        return self.folder / "results/logs/pretrain/nano.log"

    def start(self, *words: str) -> subprocess.Popen:
        """Snakemake as the foreground process group of a terminal would be; what it says comes in one pipe."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "2", *words],
            cwd=self.folder,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def workers(self) -> list[int]:
        """The living processes that train."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (place / "cmdline").read_bytes().split(b"\0")
                inside = (place / "cwd").readlink() == self.folder.resolve()
                # torchrun has the script among its own words, further on
                if inside and str(SCRIPT).encode() in words[1:3]:
                    found.append(int(place.name))
        return found

    def steps_done(self) -> int:
        metrics = self.place / "state/metrics.jsonl"
        return metrics.read_bytes().count(b"\n") if metrics.exists() else 0

    @contextmanager
    def halted_after(self, steps: int, seconds: float = 120) -> Iterator[None]:
        """Within the block the training stands still, some time after so many steps."""
        deadline = time.monotonic() + seconds
        while self.steps_done() < steps:
            assert time.monotonic() < deadline, "the training does not get there"
            time.sleep(0.01)
        workers = self.workers()
        assert len(workers) == self.processes
        try:
            for worker in workers:
                os.kill(worker, signal.SIGSTOP)
            yield
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGCONT)
