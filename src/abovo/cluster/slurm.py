"""Turn what SLURM's commands print into its nodes, the jobs of a folder and its settings."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from abovo.errors import AbovoError

# A controller that is busy, or starts again, answers late (s)
PATIENCE = 60
DAY = 24 * 60
# What a person may do about a SLURM that says nothing
MEND = "start Snakemake where sinfo and squeue answer, a login node; elsewhere leave --profile slurm out"


@dataclass(frozen=True)
class Node:
    """A node in a partition: processors, memory (MB), GPUs by type (an empty name where they have none), the
    longest time of a job (minutes; None: no limit), and what SLURM says of its state."""

    partition: str
    default: bool
    name: str
    processors: int
    memory_mb: int
    gpus: dict[str, int]
    minutes: int | None
    state: str

    @property
    def works(self) -> bool:
        return not re.search(r"down|drain|fail|\*", self.state, re.IGNORECASE)


@dataclass(frozen=True)
class QueuedJob:
    """A job in the queue: its number, state, why it waits or where it runs, and what Snakemake calls it."""

    number: str
    state: str
    where: str
    name: str

    def __str__(self) -> str:
        running = self.state not in ("PENDING", "REQUEUED", "REQUEUE_HOLD")
        place = f"on {self.where}" if running and self.where else f"waiting: {self.where.strip('()') or self.state}"
        return f"SLURM job {self.number} ({self.name}, {place})"


def ask(*words: str, mend: str = MEND) -> str:
    """What a command of SLURM prints. Raises AbovoError where it is not there, or says no."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except FileNotFoundError:
        raise AbovoError("is not installed here", words[0], mend) from None
    except subprocess.TimeoutExpired:
        raise AbovoError(f"SLURM did not answer in {PATIENCE} s", words[0], mend) from None
    if done.returncode:
        told = " ".join(done.stderr.split())[-300:]
        raise AbovoError(f"SLURM says no: {told}", " ".join(words), mend)
    return done.stdout


def nodes() -> list[Node]:
    """Every node once for each partition that it is in."""
    return read_nodes(ask("sinfo", "-h", "-N", "-o", "%P|%N|%c|%m|%G|%l|%T"))


def read_nodes(text: str) -> list[Node]:
    """Nodes from lines of PARTITION|NAME|PROCESSORS|MEMORY|GRES|LIMIT|STATE as sinfo prints them."""
    found = []
    for line in filter(None, text.splitlines()):
        partition, name, processors, memory, gres, limit, state = line.split("|")
        found.append(
            Node(
                partition.rstrip("*"), partition.endswith("*"), name, _number(processors), _number(memory),
                read_gpus(gres), read_limit(limit), state,
            )
        )  # fmt: skip
    return found


def read_gpus(gres: str) -> dict[str, int]:
    """GPUs by type of a node's generic resources, such as gpu:a100:4(S:0-1),shard:8."""
    found: dict[str, int] = {}
    for one in re.sub(r"\([^)]*\)", "", gres).split(","):
        words = one.split(":")
        if words[0] == "gpu":
            count = int(words[-1]) if words[-1].isdigit() else 1
            kind = words[1] if len(words) > 1 and not words[1].isdigit() else ""
            found[kind] = found.get(kind, 0) + count
    return found


def read_limit(text: str) -> int | None:
    """Minutes of a time limit, DAYS-HOURS:MINUTES:SECONDS with parts left out from the left; None without one."""
    if not re.fullmatch(r"(\d+-)?[\d:]+", text):
        return None
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    parts = [0] * (3 - len(parts)) + parts
    return int(days or 0) * DAY + parts[0] * 60 + parts[1] + (parts[2] > 0)


def jobs_of(folder: Path) -> list[QueuedJob]:
    """The jobs in the queue, not yet ended, that this user's Snakemake submitted from a folder."""
    lines = ask("squeue", "--me", "-h", "-o", "%i|%T|%R|%k|%Z").splitlines()
    return list(read_jobs(lines, folder))


def read_jobs(lines: Iterable[str], folder: Path) -> Iterable[QueuedJob]:
    """Jobs from lines of NUMBER|STATE|WHERE|COMMENT|FOLDER; Snakemake's comments tell rule and wildcards.

    The folder is last, since its name may hold a bar, which those of rules and wildcards do not.
    """
    for line in lines:
        number, state, where, comment, place = line.split("|", 4)
        rule = re.fullmatch(r"rule_(\w+?)(?:_wildcards_(.*))?", comment.strip())
        if rule and Path(place).resolve() == folder.resolve():
            yield QueuedJob(number, state, where, " ".join(filter(None, rule.groups())))


def settings() -> dict[str, str]:
    """SLURM's configuration as its controller tells it."""
    pairs = (line.partition("=") for line in ask("scontrol", "show", "config").splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def keeps_accounts(told: dict[str, str]) -> bool:
    """Whether there is a slurmdbd, which remembers jobs and knows accounts."""
    return told.get("AccountingStorageType", "").endswith("slurmdbd")


def _number(text: str) -> int:
    """Of a count that several equal nodes share, such as 128+."""
    return int(re.sub(r"\D", "", text) or 0)
