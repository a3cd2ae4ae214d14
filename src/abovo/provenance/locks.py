"""Turn a path into a lock that one process at a time holds, on one machine or on several that share the folder.

Two things make it. An flock, which the kernel drops when its process dies, however it dies; it need not reach other
machines, and some file systems have none. And a lease, a file beside the lock that says who holds it and whose time
its holder renews; it reaches wherever the file does, and a holder that falls silent loses it.
"""

import errno
import fcntl
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from abovo.errors import AbovoError
from abovo.provenance.files import NOT_HERE, warn_once

log = logging.getLogger("abovo")
# A holder renews its lease at this interval, and has lost it after this long a silence (s). The silence is longer than
# file systems keep what they know of a file of another machine, and than a library holds up all of a process's threads.
HEARTBEAT, SILENCE = 15.0, 300.0
POLL = 0.5


@dataclass(frozen=True)
class Machine:
    """Where a process runs: its host, that kernel's start and space of process ids (empty where nothing tells them)."""

    host: str
    boot: str
    processes: str


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: what it is at work on, its machine, process and job of a scheduler; `flock` says whether the
    kernel vouches for it, `token` is never used again."""

    work: str
    machine: Machine
    process: int
    started: str
    job: str
    since: str
    flock: bool
    token: str

    def __str__(self) -> str:
        job = f", {self.job}" if self.job else ""
        return f"{self.work} (process {self.process} on {self.machine.host}{job}, since {self.since})"


@dataclass(frozen=True)
class Lock:
    """A lock that is held; `file` is the open lock file, `lease` the file that says so to others."""

    file: IO[str]
    lease: Path
    holder: Holder

    def fileno(self) -> int:
        return self.file.fileno()

    def confirm(self) -> None:
        """Raise AbovoError where another process took the lock over, as after a long sleep of this machine."""
        try:
            other, _ = _read(self.lease)
        except OSError:
            return  # a file server that does not answer now may do so later
        if other is None or other.token != self.holder.token:
            what = f"{other or 'another process'} took over while this one was silent"
            raise AbovoError(what, self.lease, "let it end; this one stops and leaves all as it is")


@contextmanager
def exclusive(path: Path, work: str, waiting: Callable[[], None] | None = None) -> Iterator[Lock]:
    """Hold the lock `path` while at `work`.

    While another process holds it, `waiting` is called now and then until it does no longer; without `waiting` an
    AbovoError names the holder. A holder that died on this machine, or was silent for `SILENCE` seconds, holds nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    told = False
    while isinstance(found := _attempt(path, work), str):
        if waiting is None or _is_own(path):
            lease = _lease(path)
            mend = f"wait for it or stop it; if it lives no more, remove {lease}" if lease.exists() else ""
            raise AbovoError(f"{found} is at work here", path, mend or "wait for it or stop it")
        if not told:
            log.info("%s: waiting for %s, which is at work here", path.parent, found)
            told = True
        time.sleep(POLL)
        waiting()
    ended = threading.Event()
    beat = threading.Thread(target=_renew, args=(found, ended), daemon=True, name="lease")
    beat.start()
    try:
        yield found
    finally:
        ended.set()
        beat.join()
        with suppress(OSError, AbovoError):
            found.confirm()
            found.lease.unlink()
        found.file.close()


def _attempt(path: Path, work: str) -> Lock | str:
    """The lock, or what is to be said of who holds it."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            flock = _flock(file.fileno(), path)
            found = _claim(path, file, work, flock) if flock is not False else _known(path)
        except BaseException:
            file.close()
            raise
        if isinstance(found, Lock):
            # the folder may have been removed with its lock by who held it
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return found
            with suppress(OSError):
                found.lease.unlink()
            file.close()
            path.parent.mkdir(parents=True, exist_ok=True)
            continue
        file.close()
        return found


def _flock(descriptor: int, path: Path) -> bool | None:
    """Whether this process has the flock now; None where the file system has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        if error.errno not in (*NOT_HERE, errno.ENOLCK):
            raise
        reason = str(error.strerror).lower()
        kept = f"{_lease(path).name} beside it keeps others out"
        warn_once("flock", f"{path}: this file system has no flock ({reason}); {kept}")
        return None
    return True


def _claim(path: Path, file: IO[str], work: str, flock: bool | None) -> Lock | str:
    """Write the lease, in the place of one whose holder is gone."""
    lease = _lease(path)
    other, written = _read(lease)
    if written is not None:
        os.utime(path)  # by the clock of who keeps the files, whatever clocks the machines have
        silent = path.stat().st_mtime - written
        if not (silent > SILENCE or (other is not None and _is_gone(other, flock))):
            return _known(path)
        if not _set_aside(lease, other):
            return _known(path)
    holder = Holder(
        work=work,
        machine=this_machine(),
        process=os.getpid(),
        started=_start_of(os.getpid()),
        job=_scheduled_job(),
        since=time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        flock=flock is True,
        token=secrets.token_hex(8),
    )
    try:
        with lease.open("x", encoding="utf-8") as new:
            json.dump(asdict(holder), new)
    except FileExistsError:
        return _known(path)
    return Lock(file, lease, holder)


def _set_aside(lease: Path, judged: Holder | None) -> bool:
    """Remove a lease that was judged; one that another process put there meanwhile stays."""
    aside = lease.with_name(f"{lease.name}.{secrets.token_hex(4)}")
    try:
        lease.rename(aside)
    except FileNotFoundError:
        return True
    found, _ = _read(aside)
    same = found == judged
    if not same:
        with suppress(OSError):
            aside.unlink() if lease.exists() else aside.rename(lease)
    else:
        aside.unlink()
    return same


def _is_gone(holder: Holder, flock: bool | None) -> bool:
    """Whether a holder on this machine lives no more; of another machine only silence tells."""
    here = this_machine()
    if holder.machine.host != here.host:
        return False
    if holder.flock and flock and holder.machine.boot == here.boot:
        return True  # the kernel dropped its flock
    return holder.machine == here and _start_of(holder.process) != holder.started


def _renew(lock: Lock, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT):
        try:
            lock.confirm()
            os.utime(lock.lease)
        except AbovoError as error:
            log.error("error: %s", error)
            return
        except OSError:
            continue


def _lease(path: Path) -> Path:
    return path.with_name(f"{path.name}.lease")


def _is_own(path: Path) -> bool:
    """Whether it is this process that holds the lock: it would wait for itself."""
    holder, _ = _read(_lease(path))
    return holder is not None and (holder.machine, holder.process) == (this_machine(), os.getpid())


def _known(path: Path) -> str:
    """Who holds a lock, as far as its lease says."""
    holder, _ = _read(_lease(path))
    return str(holder or "another process")


def _read(lease: Path) -> tuple[Holder | None, float | None]:
    """A lease's holder, None where it cannot be read, and when it was renewed, None where there is no lease."""
    try:
        with lease.open(encoding="utf-8") as file:  # what is opened is asked of the file server anew
            renewed = os.fstat(file.fileno()).st_mtime
            text = file.read()
    except FileNotFoundError:
        return None, None
    except PermissionError:
        return None, lease.stat().st_mtime
    try:
        value = json.loads(text)
        return replace(Holder(**value), machine=Machine(**value["machine"])), renewed
    except (ValueError, TypeError, KeyError):
        return None, renewed


def this_machine() -> Machine:
    def told(read: Callable[[], object]) -> str:
        try:
            return str(read()).strip()
        except OSError:
            return ""

    return Machine(
        host=socket.gethostname(),
        boot=told(lambda: Path("/proc/sys/kernel/random/boot_id").read_text()),
        processes=told(lambda: Path("/proc/self/ns/pid").readlink()),
    )


def _start_of(process: int) -> str:
    """When a process began (in ticks since the boot, as far as the system says); empty when it lives no more."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass  # it lives, and is another user's
    try:
        words = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return "alive"
    return "" if words[0] == "Z" else words[19]


def _scheduled_job() -> str:
    """The job of a scheduler that this process belongs to, as a person would ask for it; empty where there is none."""
    number = os.environ.get("SLURM_JOB_ID")
    return f"SLURM job {number}" if number else ""
