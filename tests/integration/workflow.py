"""Run the real workflow in a copy of the working tree, and kill it as a power cut would."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import forked

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = "workflow/scripts/"
DRY = {"-n", "-np", "--dry-run"}


def copy_of_the_tree(target: Path) -> Path:
    """A copy of every file that git tracks or would track; no results, no environment."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout.split(b"\0")
    for name in filter(None, names):
        source = ROOT / os.fsdecode(name)
        if source.is_symlink() or source.is_file():
            place = target / os.fsdecode(name)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place, follow_symlinks=False)
    return target


@dataclass(frozen=True)
class Workflow:
    """The workflow in a folder of its own; `settings` is what stands in --config set=..."""

    folder: Path
    settings: str = ""

    def command(self, *arguments: str) -> list[str]:
        config = ["--config", f"set={self.settings}"] if self.settings else []
        return [sys.executable, "-m", "snakemake", *arguments, *config]

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PYTHONPATH": str(self.folder / "src")}

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """Snakemake to its end; stdout and stderr as one text in `stdout`. Dry runs are forks of one process."""
        if not DRY & {*arguments} or "PYTHONHASHSEED" in os.environ:
            return self.run_anew(*arguments)
        command = self.command(*arguments)
        with tempfile.NamedTemporaryFile() as said:
            status = forked.run(command[3:], self.folder, self.environment(), Path(said.name))
            return subprocess.CompletedProcess(command, status, said.read().decode())

    def run_anew(self, *arguments: str) -> subprocess.CompletedProcess:
        """The same in a process of its own."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def make(self, *arguments: str) -> str:
        """As `run`, and the text; fails with the text when the status is not 0."""
        done = self.run("--rerun-incomplete", *arguments)
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    def kill_when(self, ready: Callable[[], bool], *arguments: str, seconds: float = 300) -> None:
        """Start Snakemake and send SIGKILL to it and to all its children once `ready()` holds."""
        with subprocess.Popen(
            self.command("--rerun-incomplete", *arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                end = time.monotonic() + seconds
                while not ready():
                    if process.poll() is not None:
                        output = process.stdout.read().decode() if process.stdout else ""
                        raise AssertionError(f"ended before it could be killed:\n{output[-4000:]}")
                    assert time.monotonic() < end, "waited too long for the moment to kill"
                    time.sleep(0.02)
            finally:
                for number in self.processes():
                    kill(number)
                kill(process.pid)
        while self.processes():
            time.sleep(0.05)
        unlocked = self.run("--unlock")
        assert unlocked.returncode == 0, unlocked.stdout

    def processes(self, text: str = "") -> list[int]:
        """Living processes that work in this folder and whose command line holds `text`."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                inside = (place / "cwd").readlink() == self.folder.resolve()
                command = (place / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if inside and command and text in command and int(place.name) != os.getpid():
                found.append(int(place.name))
        return found

    def runs_script(self, name: str) -> bool:
        return bool(self.processes(f"{SCRIPTS}{name}.py"))


def kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
