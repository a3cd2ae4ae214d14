"""Turn a command into the same command on each of several machines, as processes that find each other on the first.

srun starts them in a job of SLURM, ssh elsewhere. torchrun is told by its own variables where the others are.
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

from abovo.cluster.launched import become, die_with_parent, end, not_started
from abovo.errors import AbovoError

log = logging.getLogger("abovo")
HOSTS = "ABOVO_HOSTS"
# What a command over ssh is told of this one's environment; nothing secret, since all may read a command line
TOLD = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "LANG", "CUDA_HOME", "TMPDIR",
        "CUDA_VISIBLE_DEVICES", "WANDB_PROJECT", "WANDB_MODE")  # fmt: skip
TOLD_OF = ("PET_", "OMP_", "NCCL_", "GLOO_", "TORCH_", "TORCHINDUCTOR_", "PYTORCH_", "UCX_", "FI_")
# Ports of a rendezvous, below those that Linux gives to connections (32,768); a job's own number keeps those of one
# machine apart
FIRST_PORT, PORTS = 20_000, 12_000
# How often processes are looked after, and how long they are given to end when they are told to: longer than a step and
# its checkpoint take, which torchrun waits for (s)
POLL, PATIENCE = 0.2, 660
# A machine that does not answer for a minute is gone
SSH = (
    *("ssh", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20"),
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
)
# How long machines are given to say their names (s)
ANSWER = 60
# Before the name that a machine says
MARK = "abovo runs on "
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def main(arguments: Sequence[str], description: str) -> None:
    """Become the step of SLURM that starts the command on its nodes, or start it by ssh and end with its status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, required=True, help="machines")
    parser.add_argument("--processors", type=int, required=True, help="processors of each that the command may use")
    parser.add_argument("--gpus", type=int, required=True, help="GPUs of each that it may use")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what each of them runs")
    words = parser.parse_args(arguments)
    if words.nodes < 1 or not words.command:
        parser.error("wants a number of nodes and a command")
    try:
        if number := number_of_job(os.environ):
            os.environ |= met_at(socket.gethostname(), number)
            command = step(number, words.nodes, words.processors, words.gpus) + words.command
            become(command)
        sys.exit(run_by_ssh(hosts_of(os.environ, words.nodes), words.command))
    except AbovoError as error:
        end(error, words.command)


def number_of_job(environment: Mapping[str, str]) -> int | None:
    """The job of SLURM that this process belongs to."""
    number = environment.get("SLURM_JOB_ID", "")
    return int(number) if number.isdecimal() else None


def step(number: int, nodes: int, processors: int, gpus: int) -> list[str]:
    """The step of a SLURM job that runs a command once on each of its nodes, and ends when one of them fails."""
    words = ["srun", f"--jobid={number}", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    words += [f"--cpus-per-task={processors}", "--kill-on-bad-exit=1"]
    # as the job asked for them: SLURM takes GPUs of a type and of any for two kinds
    asked = os.environ.get("SLURM_GPUS_PER_NODE", gpus)
    return words + ([f"--gpus-per-node={asked}"] if gpus else [])


def met_at(host: str, number: int) -> dict[str, str]:
    """torchrun's own variables for a rendezvous on a machine; `number` tells it from others there."""
    place = f"{host}:{FIRST_PORT + number % PORTS}"
    return {"PET_RDZV_ENDPOINT": place, "PET_RDZV_ID": str(number)}


def hosts_of(environment: Mapping[str, str], nodes: int) -> list[str]:
    """The first `nodes` of the machines that are named. Raises AbovoError where there are fewer."""
    hosts = [name for name in map(str.strip, environment.get(HOSTS, "").split(",")) if name]
    for name in hosts:
        if hosts.count(name) > 1:
            raise AbovoError(f"{name} is named twice", HOSTS, "name each machine once")
    if len(hosts) < nodes:
        what = f"{len(hosts)} machines are named for {nodes} nodes"
        mend = f"{HOSTS}=first,second names them as ssh knows them; or submit to SLURM, with --profile slurm"
        raise AbovoError(what, f"engine.nodes and {HOSTS}", mend)
    for name in hosts:
        if name.startswith("-"):
            raise AbovoError(f"{name} is no name of a machine", HOSTS, "names have commas between them")
    return hosts[:nodes]


def run_by_ssh(hosts: Sequence[str], command: Sequence[str]) -> int:
    """Run a command on each host until it has ended on all; returns 0, or the status of the first that failed.

    A signal to this process, or the failure of one, reaches all of them as Ctrl-C does; where this process is killed,
    their terminals are hung up. Raises AbovoError for a host that ssh does not reach.
    """
    met = met_at(_names_of(hosts)[0], secrets.randbelow(2**31))
    line = remote_line({**os.environ, **met}, Path.cwd(), command)
    stopped: list[int] = []
    for number in SIGNALS:
        signal.signal(number, lambda number, _: stopped.append(number))
    hang_up = partial(die_with_parent, signal.SIGTERM, os.getpid())
    # in sessions of their own: Ctrl-C at our terminal is passed on, and ssh itself lives to tell how it went
    running = {
        host: subprocess.Popen(
            [*SSH, "-tt", host, line], stdin=subprocess.PIPE, start_new_session=True, preexec_fn=hang_up
        )
        for host in hosts
    }
    failed, told_at, told, working = 0, 0.0, 0, True
    while working:
        working = None in [process.poll() for process in running.values()]
        ended = [(host, process.returncode) for host, process in running.items() if process.returncode]
        if ended and not failed:
            host, failed = ended[0]
            if not stopped:
                log.error("error: the processes on %s ended with status %d", host, failed)
        wanted = len(stopped) or bool(failed)
        if wanted > told:  # a second Ctrl-C ends at once what the first let save its work
            told, told_at = wanted, told_at or time.monotonic()
            for process in running.values():
                _interrupt(process)
        elif told_at and time.monotonic() - told_at > PATIENCE:
            for process in running.values():
                process.kill()
        if working:
            time.sleep(POLL)
    return abs(failed)


def _names_of(hosts: Sequence[str]) -> list[str]:
    """What machines call themselves, by which others reach them: our name of one may be an alias.

    Raises AbovoError for the first that does not answer.
    """
    # whatever else a shell says when it starts
    words, pipe = f'echo "{MARK}$(hostname)"', subprocess.PIPE
    hang_up = partial(die_with_parent, signal.SIGTERM, os.getpid())
    asked: dict[str, subprocess.Popen[str]] = {}
    names, end = [], time.monotonic() + ANSWER
    try:
        for host in hosts:
            asked[host] = subprocess.Popen(
                [*SSH, host, words],
                stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, preexec_fn=hang_up,
            )  # fmt: skip
        for host, process in asked.items():
            out, told = process.communicate(timeout=max(0.0, end - time.monotonic()))
            name = next((line.removeprefix(MARK) for line in out.splitlines() if line.startswith(MARK)), "")
            if process.returncode or not name:
                mend = f"look at {HOSTS}: ssh must reach it without a password"
                raise AbovoError(f"ssh says: {' '.join(told.split())[-300:]}", host, mend)
            names.append(name)
    except OSError as error:
        raise not_started(SSH[0], error) from None
    except subprocess.TimeoutExpired:
        silent = next(host for host, process in asked.items() if process.poll() is None)
        mend = "see whether a shell there, or the folder of its user, hangs"
        raise AbovoError(f"says nothing within {ANSWER} s", silent, mend) from None
    finally:
        for process in asked.values():
            process.kill()
    return names


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
