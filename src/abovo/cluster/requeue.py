"""Turn the signal ahead of a time limit into a job that SLURM runs again, under its own number."""

import logging
import os
import signal

from abovo.cluster.slurm import ask
from abovo.errors import AbovoError

log = logging.getLogger("abovo")
# What the rules ask SLURM to send ahead of a time limit
WARNING = signal.SIGUSR1
_heard: list[int] = []


def survive_warnings() -> None:
    """Let the warning pass in a process that can do nothing about it yet, where it would end it."""
    if signal.getsignal(WARNING) is signal.SIG_DFL:
        signal.signal(WARNING, lambda number, _: _heard.append(number))


def was_warned() -> bool:
    """Whether the warning came since `survive_warnings`, before anything acted on it."""
    return bool(_heard)


def put_back(stopped_by: int, steps: int) -> None:
    """Have SLURM run this job again where it was the warning that stopped it, after `steps` steps.

    Snakemake sees a job that waits, and spends no retry on it. One that made no step would never end, and fails.
    """
    number = os.environ.get("SLURM_JOB_ID")
    if number is None or stopped_by != WARNING:
        return
    if not steps:
        log.error("error: no step was made within the time limit of SLURM job %s; ask for a longer runtime", number)
        return
    # said before it is done: what is put back is ended at once
    log.warning("SLURM job %s is put back into the queue; it goes on from there", number)
    try:
        ask("scontrol", "requeue", number, mend="Snakemake submits it again, as one of its retries")
    except AbovoError as error:
        log.warning("%s", error)
