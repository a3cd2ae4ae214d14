"""Turn what SLURM says when Snakemake starts into jobs that are waited for, settings that fit, and refusals."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from abovo.cluster import slurm
from abovo.cluster.fitting import Request, refuse_unplaceable

# How often the queue is asked for the jobs of an earlier Snakemake (s)
POLL = 10.0
# The plugin asks squeue only where ended jobs stay in it for so many times its first wait
WAITS = 3


def wait_for_earlier(folder: Path, tell: Callable[[str], None], poll: float = POLL) -> None:
    """Wait until no job of this folder is in the queue.

    A Snakemake that was killed leaves its jobs; what they make is not to be made a second time beside them. While
    Snakemake's own lock stands, another one may live, and Snakemake says so itself: nothing is waited for.
    """
    told: dict[str, str] = {}
    while jobs := slurm.jobs_of(folder):
        for job in jobs:
            if told.get(job.number) != str(job):
                tell(f"{job} of an earlier Snakemake is at work here; waiting for it (scancel {job.number} ends it)")
                told[job.number] = str(job)
        if _is_locked(folder):
            return
        time.sleep(poll)
    if told:
        tell("the jobs of the earlier Snakemake have ended; going on")


def _is_locked(folder: Path) -> bool:
    return any((folder / ".snakemake/locks").glob("*.lock"))


def settle(settings: Any, tell: Callable[[str], None]) -> None:
    """Have the plugin ask what this SLURM can answer: without slurmdbd sacct fails, and Snakemake would wait for ever
    without a word. `settings` are those of the executor. Raises AbovoError where SLURM does not answer."""
    told = slurm.settings()
    if slurm.keeps_accounts(told):
        return
    if settings.status_command != "squeue":
        tell("this SLURM keeps no accounts (no slurmdbd): squeue is asked for the state of jobs")
        settings.status_command = "squeue"
    age = int("".join(filter(str.isdigit, told.get("MinJobAge", ""))) or 300)
    if settings.init_seconds_before_status_checks * WAITS > age:
        seconds = max(1, age // WAITS)
        tell(f"ended jobs leave the queue of this SLURM after {age} s: it is first asked after {seconds} s")
        settings.init_seconds_before_status_checks = seconds


def refuse_before_submission(requests: Iterable[Request], nodes: Sequence[slurm.Node]) -> None:
    """Raise AbovoError for the first job that no node could ever take."""
    for request in requests:
        refuse_unplaceable(request, nodes)
