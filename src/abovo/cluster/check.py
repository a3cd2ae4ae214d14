"""Turn a cluster, as it is seen from here and from its nodes, into a table of what a first submission needs."""

import getpass
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from abovo.cluster import slurm
from abovo.cluster.fitting import PROFILE, partition_of
from abovo.errors import AbovoError

# How long a probe waits for a node, and a node for the hub (s)
FREE, REACH = 60, 10
# How long a probe may take in all (s): srun itself waits on where a plugin, a prolog or a node does not answer
ALL = 180
# What srun may take to end (s)
LAST = 20
HUB = "https://huggingface.co"
PROBE = """
cd {folder} && echo folder=yes
[ -f {fresh} ] && echo fresh=yes
flock -n {fresh} true && echo flock=yes
{python} -c 'import sys; print("python=" + sys.version.split()[0])'
echo gpus=$(nvidia-smi -L 2> /dev/null | grep -c ^GPU)
{python} -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout={reach})' {hub} && echo hub=yes
true
"""


@dataclass(frozen=True)
class Row:
    """A line of the table: what was looked at, what was found, whether it will do, and what to do where not.

    `good` is None where it will do, but not for all that a run may want.
    """

    what: str
    found: str
    good: bool | None = True
    mend: str = ""

    @property
    def mark(self) -> str:
        return {True: "ok", False: "BAD", None: "--"}[self.good]


def check(site: Mapping[str, object], folder: Path) -> list[Row]:
    """What this cluster has for jobs of a folder; `site` is what the profile says under default-resources.

    Raises AbovoError where SLURM does not answer here.
    """
    told, nodes = slurm.settings(), slurm.nodes()
    rows = [Row("SLURM", f"{told.get('SLURM_VERSION', '?')}, cluster {told.get('ClusterName', '?')}")]
    rows += _partitions(nodes)
    rows += _accounts(told, site.get("slurm_account"))
    named = {name: str(site[key]) for key, name in KINDS.items() if site.get(key)}
    plain = named.get("CPU")
    for kind, partition in {"CPU": plain, "GPU": named.get("GPU", plain)}.items():
        own = partition_of(partition, nodes)
        gpus = max((sum(node.gpus.values()) for node in own), default=0)
        name = partition or "the default"
        if not own:
            rows.append(Row(f"{kind} jobs", f"no partition {name}", False, f"name one that is there in {PROFILE}"))
        elif kind == "GPU" and not gpus:
            mend = f"name gpu_partition in {PROFILE}, or train with RUN.engine.device=cpu"
            rows.append(Row("GPU jobs", f"no GPU in partition {own[0].partition}", False, mend))
        elif kind == "CPU" or partition != plain or gpus:
            rows += _seen_from(kind, partition, site, folder)
    return rows


KINDS = {"slurm_partition": "CPU", "gpu_partition": "GPU"}


def _partitions(nodes: Sequence[slurm.Node]) -> Iterator[Row]:
    for name in dict.fromkeys(node.partition for node in nodes):
        own = partition_of(name, nodes)
        working = [node for node in own if node.works]
        gpus = {kind: max(node.gpus.get(kind, 0) for node in own) for node in own for kind in node.gpus}
        cards = ", ".join(f"{count} {kind or 'GPUs'}" for kind, count in gpus.items()) or "no GPU"
        limits = [node.minutes for node in own]
        longest = "no limit" if None in limits else f"{max(filter(None, limits), default=0) / 60:g} h"
        found = (
            f"{len(working)} of {len(own)} nodes work; up to {max(node.processors for node in own)} processors,"
            f" {max(node.memory_mb for node in own):,} MB, {cards} a node; {longest}"
        )
        mark = " (default)" if own[0].default else ""
        yield Row(f"partition {name}{mark}", found, bool(working), "wait, or name another one")


def _accounts(told: Mapping[str, str], account: object) -> Iterator[Row]:
    if not slurm.keeps_accounts(dict(told)):
        yield Row("accounts", "none are kept (no slurmdbd); squeue tells the state of jobs")
        if account is not None:
            yield Row("account", f"{account} is named", False, f"take slurm_account out of {PROFILE}")
        return
    words = ("sacctmgr", "-n", "-P", "show", "assoc", f"user={getpass.getuser()}", "format=account")
    try:
        known = sorted(set(filter(None, slurm.ask(*words).split())))
    except AbovoError as error:
        yield Row("accounts", str(error), False, "ask the cluster's staff")
        return
    good = account is None or str(account) in known
    yield Row("accounts", ", ".join(known) or "none", good, f"name one of them as slurm_account in {PROFILE}")


def _seen_from(kind: str, partition: str | None, site: Mapping[str, object], folder: Path) -> Iterator[Row]:
    """What a node of a partition sees: the folder, its newest file, Python, cards, the hub."""
    where = f"from a {kind} node"
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".slurm-check-") as fresh:
        hub = shlex.quote(os.environ.get("HF_ENDPOINT", HUB))
        place = {"folder": shlex.quote(str(folder)), "fresh": shlex.quote(fresh.name)}
        script = PROBE.format(**place, python=shlex.quote(sys.executable), hub=hub, reach=REACH)
        words = ["srun", f"--immediate={FREE}", "--nodes=1", "--ntasks=1", "--time=5", "--chdir=/"]
        words += [f"--partition={partition}"] if partition else []
        words += [f"--account={site['slurm_account']}"] if site.get("slurm_account") else []
        if kind == "GPU":
            words.append(f"--gpus={site['gpu_type']}:1" if site.get("gpu_type") else "--gpus=1")
        out, told = _answer([*words, "bash", "-c", script])
    seen = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    if not seen:
        yield Row(where, told, False, "try again when a node is free; ask what sbatch wants of a job")
        return
    shared = "put the checkout where all nodes see it, as a home or a project folder"
    yield Row(f"folder {where}", "seen" if "folder" in seen else "not seen", "folder" in seen, shared)
    if "folder" in seen:
        late = "a file written now is not seen yet"
        yield Row(f"files {where}", "seen at once" if "fresh" in seen else late, "fresh" in seen, "raise latency-wait")
        yield Row(
            f"flock {where}",
            "works" if "flock" in seen else "does not; leases keep others out",
            "flock" in seen or None,
        )
    python = seen.get("python")
    yield Row(f".venv {where}", f"Python {python}" if python else "does not start", python is not None, shared)
    if kind == "GPU":
        cards = int(seen.get("gpus") or 0)
        yield Row(f"GPUs {where}", f"{cards} with --gpus=1", cards > 0, "ask why nvidia-smi shows none in a job")
    offline = "not reached; what docs/cluster.md names is made on the login node first, or set HF_ENDPOINT"
    yield Row(f"hub {where}", "reached" if "hub" in seen else offline, "hub" in seen or None)


def _answer(words: Sequence[str]) -> tuple[str, str]:
    """What srun prints, and why where it prints nothing."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            out, told = process.communicate(timeout=ALL)
            return out, " ".join(told.split())[-200:] or "nothing was printed"
        except subprocess.TimeoutExpired:
            return "", f"no node answered within {ALL} s"
        finally:  # after a Ctrl-C, too: at SIGTERM srun takes its job out of the queue; killed, it would leave it there
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(LAST)
            process.kill()


def table(rows: Sequence[Row]) -> list[str]:
    """The rows as lines for a person."""
    width = max(len(row.what) for row in rows)
    return [
        f"{row.mark:3}  {row.what:{width}}  {row.found}{f' -> {row.mend}' if row.good is False else ''}" for row in rows
    ]
