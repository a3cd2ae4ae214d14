"""A real SLURM of two nodes on this machine, without systemd: munge, slurmctld and two slurmd in a folder."""

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# SLURM looks here where a job's environment has lost SLURM_CONF, as in the plugin's inner srun
SYSTEM = Path("/etc/slurm")
MARK = "abovo-slurm-"
PACKAGES = ("slurm-wlm", "munge")
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "srun", "scontrol")
CONFIGURATION = """
ClusterName=two
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# a job that is put back is not started before this time, else of 120 s
AuthInfo=cred_expire=5,socket={folder}/munge/socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
SlurmctldPort=16917
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MinJobAge=600
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SlurmctldTimeout=30
SlurmdTimeout=30
KillWait=10
PropagateResourceLimits=NONE
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17101 CPUs=4 RealMemory=16000 Gres=gpu:a100:2 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17102 CPUs=4 RealMemory=16000 Gres=gpu:a100:2 State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=1-00:00:00 State=UP
PartitionName=gpu Nodes=ALL MaxTime=1-00:00:00 State=UP
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF State=UP
"""


def why_not() -> str:
    """Why no SLURM can be started here, in words; empty where one can. Missing packages are installed."""
    if os.geteuid():
        return "only root can start a SLURM"
    left = (SYSTEM / "slurm.conf").resolve().parent
    if MARK in left.name and not _runs(left / "run/slurmctld.pid"):  # of tests that were killed
        for name in ("slurm.conf", "gres.conf"):
            (SYSTEM / name).unlink(missing_ok=True)
    if (SYSTEM / "slurm.conf").exists():
        return f"this machine has a SLURM of its own ({SYSTEM / 'slurm.conf'})"
    if not all(map(shutil.which, NEEDED)):
        if shutil.which("apt-get") is None:
            return "no slurmctld, and no apt-get to install one"
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        words = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
        for command in (["apt-get", "update"], words):
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            return f"slurm-wlm cannot be installed: {' '.join(done.stderr.split())[-300:]}"
    return ""


def _runs(file: Path) -> bool:
    try:
        os.kill(int(file.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class Cluster:
    """A SLURM that runs; its nodes are n1 and n2, each with 4 processors and two GPUs of a type, which are no GPUs."""

    folder: Path

    def start(self) -> None:
        for name in ("state", "spool/n1", "spool/n2", "log", "run", "munge"):
            (self.folder / name).mkdir(parents=True)
        munge = self.folder / "munge"
        munge.chmod(0o700)
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o400)
        words = {name: f"{munge}/{name}" for name in ("socket", "seed")}
        _do("munged", "--force", f"--key-file={munge}/key", f"--pid-file={self.folder}/run/munged.pid",
            f"--log-file={munge}/log", f"--socket={words['socket']}", f"--seed-file={words['seed']}")  # fmt: skip
        host = os.uname().nodename.partition(".")[0]
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=self.folder))
        gres = []
        for node in ("n1", "n2"):
            for number in (0, 1):  # a character device; the number at its end becomes CUDA_VISIBLE_DEVICES
                device = self.folder / f"{node}-gpu{number}"
                os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 3))
                gres.append(f"NodeName={node} Name=gpu Type=a100 File={device}\n")
        (self.folder / "gres.conf").write_text("".join(gres))
        SYSTEM.mkdir(exist_ok=True)
        for name in ("slurm.conf", "gres.conf"):
            (SYSTEM / name).symlink_to(self.folder / name)
        _do("slurmctld", "-c")
        self.start_node("n1")
        self.start_node("n2")
        until(lambda: len(_do("sinfo", "-h", "-N", "-p", "cpu", "-t", "idle").splitlines()) == 2, 60)

    def start_node(self, name: str) -> None:
        _do("slurmd", "-N", name)

    def stop(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError, AssertionError):
            _do("scancel", "--me", "--signal=KILL", "--full")
            _do("scancel", "--me")
            until(lambda: not _do("squeue", "-h", "-t", "running,completing"), 30)
        for place in ("slurmd-n1", "slurmd-n2", "slurmctld", "munged"):
            self._end(place, signal.SIGTERM)
        for name in ("slurm.conf", "gres.conf"):
            (SYSTEM / name).unlink(missing_ok=True)

    def restart_controller(self) -> None:
        """As for an update; what it knew of jobs and nodes lies in its folder."""
        place = self.folder / "run/slurmctld.pid"
        self._end("slurmctld", signal.SIGTERM)
        until(lambda: not _runs(place), 30)
        _do("slurmctld")
        until(lambda: not subprocess.run(["scontrol", "ping"], capture_output=True).returncode, 30)

    def drain(self, name: str) -> None:
        """Let a node start no more jobs; those on it go on."""
        _do("scontrol", "update", f"nodename={name}", "state=drain", "reason=service")

    def undrain(self, name: str) -> None:
        _do("scontrol", "update", f"nodename={name}", "state=resume")

    def lose_node(self, name: str) -> None:
        """As if its power had gone: its daemon dies, and SLURM is told at once what it would find after a while."""
        self._end(f"slurmd-{name}", signal.SIGKILL)
        _do("scontrol", "update", f"nodename={name}", "state=down", "reason=lost")

    def take_gpu(self, node: str) -> str:
        """The number of a job that holds one GPU of a node until it is cancelled."""
        return self._take("gpu", node, "--gpus=1")

    def take_processors(self, node: str) -> str:
        """The number of a job that holds all processors of a node until it is cancelled."""
        return self._take("gpu", node, "--cpus-per-task=4")

    def _take(self, partition: str, node: str, what: str, seconds: int = 3600) -> str:
        words = ("--parsable", "-p", partition, "-w", node, what, "--mem=100", "--wrap", f"sleep {seconds}")
        return _do("sbatch", "--output=/dev/null", *words).strip()

    def _end(self, name: str, number: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.folder / "run" / f"{name}.pid").read_text()), number)

    def jobs(self) -> dict[str, tuple[str, str, str]]:
        """Number of each job -> its state, its node or why it waits, and its comment; of those that ended, too."""
        lines = _do("squeue", "-h", "--states=all", "-o", "%i|%T|%R|%k").splitlines()
        return {line.split("|")[0]: tuple(line.split("|")[1:]) for line in lines}

    def preempt(self, number: str) -> None:
        """Have a job of a partition that goes before the others take the node of one that runs, for a second."""
        urgent = self._take("urgent", self.jobs()[number][1], "--cpus-per-task=4", seconds=1)
        until(lambda: self.jobs()[urgent][0] == "COMPLETED", 90, lambda: str(self.jobs()))

    def shorten(self, number: str) -> None:
        """Leave a job that runs two to three minutes: its warning, two ahead of its limit, comes within one."""
        used = re.search(r"RunTime=(\d+):(\d+):", _do("scontrol", "show", "job", number))
        _do("scontrol", "update", f"jobid={number}", f"TimeLimit={60 * int(used[1]) + int(used[2]) + 3}")

    def job_of(self, rule: str) -> str | None:
        """The living job of a rule, the newest one."""
        alive = ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING")
        found = [number for number, (state, _, told) in self.jobs().items() if state in alive and rule in told]
        return max(found, key=int, default=None)


def _do(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def until(ready: Callable[[], object], seconds: float, told: Callable[[], str] = str) -> None:
    """Wait for something; fails with what `told` says after so many seconds."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"waited {seconds} s in vain; {told()[-3000:]}"
        time.sleep(0.2)


def submitted(text: str) -> list[str]:
    """The numbers of the jobs that a Snakemake says it submitted, in their order."""
    return re.findall(r"has been submitted with SLURM jobid (\d+)", text)
