"""Turn a command into the same command on each of several machines, as processes that find each other on the first.

python -m abovo.cluster.on_nodes --nodes 2 --processors 8 --gpus 4 torchrun --nnodes 2 --rdzv-backend c10d -- SCRIPT ...

In a job of SLURM its nodes are the machines, and srun starts the commands. Elsewhere the machines are those that
ABOVO_HOSTS names, and ssh starts them: names as ssh knows them, with commas between, of machines that see this folder
under the same path. torchrun is told by its own variables where the others are.
"""

import argparse
import contextlib
import logging
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from abovo.cluster.parents import die_with_parent
from abovo.errors import AbovoError

log = logging.getLogger("abovo")
HOSTS = "ABOVO_HOSTS"
# What a command over ssh is told of this one's environment; nothing secret, since all may read a command line
TOLD = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "LANG", "CUDA_HOME", "TMPDIR")
TOLD_OF = ("PET_", "OMP_", "NCCL_", "GLOO_", "TORCH_", "TORCHINDUCTOR_", "ABOVO_")
# Ports of a rendezvous; a job's own number keeps those of one machine apart
FIRST_PORT, PORTS = 20_000, 20_000
# How often processes are looked after, and how long they are given to end when they are told to: longer than a step and
# its checkpoint take, which torchrun waits for (s)
POLL, PATIENCE = 0.2, 660
SSH = ("ssh", "-o", "BatchMode=yes")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def main(arguments: Sequence[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, required=True, help="machines")
    parser.add_argument("--processors", type=int, required=True, help="processors of each that the command may use")
    parser.add_argument("--gpus", type=int, required=True, help="GPUs of each that it may use")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what each of them runs")
    words = parser.parse_args(arguments)
    try:
        if number := os.environ.get("SLURM_JOB_ID"):
            os.environ |= met_at(socket.gethostname(), int(number))
            command = step(number, words.nodes, words.processors, words.gpus) + words.command
            os.execvp(command[0], command)
        hosts = hosts_of(os.environ, words.nodes)
        sys.exit(run_by_ssh(hosts, words.command))
    except AbovoError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {words.command[0]} cannot be started ({error.strerror})")


def step(number: str, nodes: int, processors: int, gpus: int) -> list[str]:
    """The step of a SLURM job that runs a command once on each of its nodes, and ends when one of them fails."""
    words = ["srun", f"--jobid={number}", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    words += [f"--cpus-per-task={processors}", "--kill-on-bad-exit=1"]
    return words + ([f"--gpus-per-node={gpus}"] if gpus else [])


def met_at(host: str, number: int) -> dict[str, str]:
    """torchrun's own variables for a rendezvous on a machine; `number` tells it from others there."""
    place = f"{host}:{FIRST_PORT + number % PORTS}"
    return {"PET_RDZV_ENDPOINT": place, "PET_RDZV_ID": str(number)}


def hosts_of(environment: Mapping[str, str], nodes: int) -> list[str]:
    """The first `nodes` of the machines that are named. Raises AbovoError where there are fewer."""
    hosts = [name for name in map(str.strip, environment.get(HOSTS, "").split(",")) if name]
    if len(hosts) < nodes or len(set(hosts)) < len(hosts):
        what = f"{len(set(hosts))} machines are named for {nodes} nodes"
        mend = f"{HOSTS}=first,second names them as ssh knows them; or submit to SLURM, with --profile slurm"
        raise AbovoError(what, f"engine.nodes and {HOSTS}", mend)
    for name in hosts:
        if name.startswith("-"):
            raise AbovoError(f"{name} is no name of a machine", HOSTS, "names have commas between them")
    return hosts[:nodes]


def run_by_ssh(hosts: Sequence[str], command: Sequence[str]) -> int:
    """Run a command on each host until it has ended on all; returns 0, or the status of the first that failed.

    A signal to this process, or the failure of one, reaches all of them as Ctrl-C does; where this process is killed,
    their terminals are hung up.
    """
    # the first is asked by what name the others may reach it: ours may be an alias
    asked = subprocess.run([*SSH, hosts[0], "hostname"], capture_output=True, text=True, check=False)
    if asked.returncode:
        told = " ".join(asked.stderr.split())[-300:]
        raise AbovoError(f"ssh says: {told}", hosts[0], f"look at {HOSTS}: ssh must need no password")
    met = met_at(asked.stdout.strip(), secrets.randbelow(2**31))
    line = remote_line({**os.environ, **met}, Path.cwd(), command)
    stopped: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, _: stopped.append(number))
    words = [*SSH, "-tt", "-o", "LogLevel=QUIET"]
    hang_up = partial(die_with_parent, signal.SIGTERM, os.getpid())
    running = {
        host: subprocess.Popen([*words, host, line], stdin=subprocess.PIPE, preexec_fn=hang_up) for host in hosts
    }
    failed, told_at = 0, 0.0
    while any(process.poll() is None for process in running.values()):
        ended = [(host, process.returncode) for host, process in running.items() if process.returncode]
        if ended and not failed:
            host, failed = ended[0]
            log.error("error: the processes on %s ended with status %d", host, failed)
        if (stopped or failed) and not told_at:
            told_at = time.monotonic()
            for process in running.values():
                _interrupt(process)
        elif told_at and time.monotonic() - told_at > PATIENCE:
            for process in running.values():
                process.kill()
        time.sleep(POLL)
    return next((abs(process.returncode) for process in running.values() if process.returncode), 0)


def remote_line(environment: Mapping[str, str], folder: Path, command: Sequence[str]) -> str:
    """The line of a shell that runs a command in the same folder, with what it needs of the same environment."""
    told = [
        f"{name}={value}" for name, value in sorted(environment.items()) if name in TOLD or name.startswith(TOLD_OF)
    ]
    # what is typed is not shown, and lines end as they do here
    return f"stty -echo -onlcr; cd {shlex.quote(str(folder))} && exec env {shlex.join([*told, *command])}"


def _interrupt(process: "subprocess.Popen[bytes]") -> None:
    """Type Ctrl-C at the terminal of a process."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.write(b"\x03")
        process.stdin.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
