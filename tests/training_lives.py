"""Lives of the pretraining script in processes that can be killed as a power cut would, cheap enough for many of them.

Each life is forked from a server that has imported the heavy libraries and nothing else, and then runs the real script
with its real command line. Several workers are children of a launcher of their own, as under torchrun.
"""

import contextlib
import json
import multiprocessing
import os
import random
import resource
import runpy
import shutil
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from small_world import SHAPE, make_corpus, make_packed, make_tokenizer

from abovo.config.jobs import job_settings
from abovo.config.runs import Configuration
from abovo.settings.keys import plain

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "workflow/scripts/train.py"
HEAVY = ["torch", "torch.distributed.fsdp", "transformers.models.qwen3.modeling_qwen3", "abovo.training.job"]
STEPS, BATCH, LENGTH = 60, 512, 64


def nano_like(processes=1):
    """Settings of the run nano with less of everything: 60 steps of a tiny shape."""
    engine = "torch" if processes == 1 else "ddp"
    values = {
        "engine": engine, "threads": 1, "sequence_length": LENGTH, "tokens": STEPS * BATCH,
        "training.batch_tokens": BATCH, "training.schedule.warmup_steps": 10, "training.log_interval": 1,
        "training.validation_interval": 20, "training.checkpoint_interval": 7, "training.tensorboard": "false",
        "sft": "null", "checkpoints.at": "[4000,9000]",
    }  # fmt: skip
    configuration = Configuration(ROOT / "config", ",".join(f"nano.{key}={value}" for key, value in values.items()))
    settings = job_settings(configuration, "pretrain", {"run": "nano"})
    phases = [{**phase, "sets": {"small": 1.0}} for phase in settings["phases"]]
    return {**settings, "phases": phases, "model": plain(SHAPE), "parameters": None}


@dataclass
class Data:
    """The inputs that all runs share."""

    folder: Path
    tokenizer: Path = field(init=False)
    packed: Path = field(init=False)

    def __post_init__(self):
        self.tokenizer = make_tokenizer(self.folder, make_corpus(self.folder))
        self.pack()

    def pack(self, share=0.3):
        shutil.rmtree(self.folder / "corpora", ignore_errors=True)
        corpus = make_corpus(self.folder, share=share)
        self.packed = make_packed(self.folder, corpus, self.tokenizer, LENGTH).path


@dataclass(frozen=True)
class Kill:
    """A signal to `victim` (launcher or a rank) `delay` seconds after the beginning of the first step >= `step`.

    Checkpoints are written beside the steps: where one has to lie there (or to be begun), the step waits for `laid`.
    """

    step: int
    delay: float = 0.0
    victim: str = "0"
    signal: int = signal.SIGKILL
    laid: Path | None = None


def random_kills(count, processes, seed):
    """Kills in the order of their steps; with several processes any of them, or their launcher, is the victim."""
    draw = random.Random(seed)
    victims = ["0"] if processes == 1 else ["launcher", "0", "1"]
    return [
        Kill(step, draw.uniform(0, 0.03), draw.choice(victims))
        for step in sorted(draw.sample(range(1, STEPS - 3), count))
    ]


@dataclass(frozen=True)
class Fate:
    """What happens in a life: a kill, a step that throws the weights out of range, a pause after a checkpoint (s), a
    step from whose checkpoint on no file may grow beyond 200 KB, which is less than a checkpoint, a seed of nudges to
    the first weights, a step whose checkpoint takes a minute to be written."""

    kill: Kill | None = None
    poison: int = 0
    pause: float = 0.0
    full: int = 0
    nudge: int = 0
    slow: int = 0


@dataclass
class Run:
    """One training run in `folder`; `live` starts the script and returns (exit status, log)."""

    folder: Path
    data: Data
    settings: dict = field(default_factory=nano_like)

    @property
    def state(self):
        return self.folder / "state"

    @property
    def model(self):
        return self.folder / "model/model.safetensors"

    def product(self):
        kept = sorted(path for path in (self.folder / "checkpoints").rglob("*") if path.is_file())
        return [path.read_bytes() for path in (self.model, self.folder / "metrics.jsonl", *kept)]

    def live(self, kill=None, poison=0, pause=0.0, full=0, nudge=0, slow=0, seconds=120):
        self.folder.mkdir(parents=True, exist_ok=True)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*HEAVY, "training_lives"])
        pids = self.folder / "pids"
        pids.write_text("")
        life = context.Process(
            target=_launch,
            args=(
                self.command(),
                self.settings["engine"]["processes"],
                Fate(kill, poison, pause, full, nudge, slow),
                pids,
            ),
        )
        life.start()
        life.join(seconds)
        assert life.exitcode is not None, "the run hangs"
        workers = [int(line) for line in pids.read_text().split()]
        deadline = time.monotonic() + 20
        while any(alive(pid) for pid in workers):
            assert time.monotonic() < deadline, "a worker outlived its launcher or its peer"
            time.sleep(0.01)
        log = self.folder / "log"
        return life.exitcode, log.read_text() if log.exists() else ""

    def command(self):
        words = {
            "settings": json.dumps(self.settings), "tokenizer": self.data.tokenizer,
            "sets": f"small={self.data.packed}",
            "state": self.state, "output": self.folder / "manifest.json", "log": self.folder / "log",
        }  # fmt: skip
        return [str(SCRIPT), *(str(word) for name, value in words.items() for word in (f"--{name}", value))]


def alive(pid):
    """Whether a process runs; one that is dead and not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _launch(command, processes, fate, pids):
    """Fork the workers and wait for them; the exit status is the largest of theirs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    workers = []
    for rank in range(processes):
        worker = os.fork()
        if worker == 0:
            _work(command, rank, processes, fate)
        workers.append(worker)
    with pids.open("a") as file:
        file.writelines(f"{worker}\n" for worker in workers)
    found = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
    os._exit(max(status if status >= 0 else 128 - status for status in found))


def _work(command, rank, processes, fate):
    status = 1
    try:
        if processes > 1:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        _prepare(fate, rank)
        sys.argv = command
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
            try:
                runpy.run_path(command[0], run_name="__main__")
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(bool(end.code))
    finally:
        os._exit(status)


def _prepare(fate, rank):
    """Let fate follow the steps: the loop asks for the learning rate once per step."""
    from abovo.training import loop
    from abovo.training.state import State

    ask, kill = loop.learning_rate_factor, fate.kill
    armed = [kill] if kill is not None and str(rank) == kill.victim.replace("launcher", "0") else []
    victim = os.getppid() if kill is not None and kill.victim == "launcher" else os.getpid()

    def factor(schedule, step, steps):
        if armed and step >= kill.step:
            armed.clear()
            while kill.laid is not None and not kill.laid.exists():
                time.sleep(0.002)
            threading.Timer(kill.delay, os.kill, (victim, kill.signal)).start()
        return ask(schedule, step, steps) * (1e38 if step == fate.poison else 1.0)

    loop.learning_rate_factor = factor
    if fate.nudge:
        from rounding import nudged_model

        from abovo.training.loss import SummedLoss

        make = SummedLoss.__init__

        def nudged(self, model, *arguments):
            make(self, nudged_model(model, fate.nudge), *arguments)

        SummedLoss.__init__ = nudged
    if fate.slow or fate.full:
        write = State._write

        def hindered(self, folder, step, *values):
            if step == fate.full:
                resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
            write(self, folder, step, *values)
            if step == fate.slow:
                time.sleep(60)

        State._write = hindered
    if fate.pause:
        save = State.save

        def slow(self, step, *content, **values):
            save(self, step, *content, **values)
            if step == 7:
                time.sleep(fate.pause)

        State.save = slow
