"""One process at a time is at work on an artifact, on any machine and file system, and others learn which one."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from abovo.errors import AbovoError
from abovo.provenance import locks
from abovo.provenance.locks import exclusive

LACKING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
int flock(int fd, int how) {
    if (getenv("NO_FLOCK")) { errno = atoi(getenv("NO_FLOCK")); return -1; }
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(fd, how);
}
int fsync(int fd) {
    struct stat found;
    int folder = !fstat(fd, &found) && S_ISDIR(found.st_mode);
    char *number = getenv(folder ? "NO_FOLDER_FSYNC" : "NO_FSYNC");
    if (number) { errno = atoi(number); return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
"""
PRODUCE = """
    import logging, sys
    from pathlib import Path
    from abovo.provenance.products import Job, Made, produce
    logging.basicConfig(format="%(message)s", level="WARNING")
    def make(folder):
        (folder / "data.txt").write_text("made")
        return Made(counts={})
    for name in ("one", "two"):
        produce(Job(Path(sys.argv[1]) / name / "manifest.json", "abovo/test/1", {}, {}, Path(sys.argv[2])), make)
"""
HOLD = """
    import socket, sys, time
    from pathlib import Path
    from abovo.provenance import locks
    host, heartbeat, path = sys.argv[1:]
    socket.gethostname = lambda: host
    locks.HEARTBEAT = float(heartbeat)
    with locks.exclusive(Path(path), "the job that makes b.json") as lock:
        print("held", flush=True)
        sys.stdin.readline()
        lock.confirm()
        print("still held", flush=True)
"""


preloads = pytest.mark.skipif(sys.platform != "linux", reason="other systems preload in other ways")


@pytest.fixture(scope="module")
def lacking(tmp_path_factory):
    """The environment of a process whose file system lacks what the variables name, by the number of its error."""
    compiler = shutil.which("cc") or shutil.which("gcc") or "g++"
    folder = tmp_path_factory.mktemp("lacking")
    (folder / "lacking.c").write_text(LACKING)
    command = [compiler, "-shared", "-fPIC", "-o", folder / "lacking.so", folder / "lacking.c", "-ldl"]
    subprocess.run(command, check=True)
    return lambda **errors: {**os.environ, **errors, "LD_PRELOAD": str(folder / "lacking.so")}


@pytest.fixture
def hold():
    """A function that starts a process which holds a lock until it gets a line."""
    started = []

    def start(path, host, heartbeat=15.0, environment=None):
        command = [sys.executable, "-c", textwrap.dedent(HOLD), host, str(heartbeat), str(path)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)
        started.append(process)
        assert process.stdout.readline() == "held\n", process.communicate()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def lease_of(path):
    return path.with_name(f"{path.name}.lease")


def grow_silent(path, seconds):
    before = time.time() - seconds
    os.utime(lease_of(path), (before, before))


@preloads
@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        ({"NO_FLOCK": "37"}, "no flock (no locks available); lock.lease beside it"),
        ({"NO_FLOCK": "38"}, "no flock (function not implemented)"),
        ({"NO_FLOCK": "95"}, "no flock (operation not supported)"),
        ({"NO_FLOCK": "22"}, "no flock (invalid argument)"),
        ({"NO_FOLDER_FSYNC": "22"}, "no fsync of folders (invalid argument)"),
        ({"NO_FOLDER_FSYNC": "9"}, "no fsync of folders (bad file descriptor)"),
        ({"NO_FSYNC": "38"}, "no fsync of files (function not implemented)"),
    ],
)
def test_what_a_file_system_lacks_is_one_warning_and_the_work_goes_on(lacking, tmp_path, lacks, says):
    script = tmp_path / "script.py"
    script.write_text("x = 1\n")
    command = [sys.executable, "-c", textwrap.dedent(PRODUCE), str(tmp_path), str(script)]
    done = subprocess.run(command, env=lacking(**lacks), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"warning: {tmp_path}/one/.products/manifest.json/") and says in line
    assert (tmp_path / "two/data.txt").read_text() == "made"
    assert sorted(path.name for path in (tmp_path / "two/.products/manifest.json").iterdir())[0] != "lock.lease"


@preloads
def test_an_error_of_the_disk_is_no_peculiarity(lacking, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("x = 1\n")
    command = [sys.executable, "-c", textwrap.dedent(PRODUCE), str(tmp_path), str(script)]
    done = subprocess.run(command, env=lacking(NO_FSYNC="5"), capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Input/output error" in done.stderr


def test_the_refusal_names_the_holder_on_another_machine(hold, tmp_path):
    """Its flock does not reach here: it is dropped behind its back."""
    path = tmp_path / "lock"
    holder = hold(path, "node7", environment=os.environ | {"SLURM_JOB_ID": "4711"})
    path.unlink()
    since = r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    who = rf"the job that makes b\.json \(process {holder.pid} on node7, SLURM job 4711, {since}"
    with pytest.raises(
        AbovoError, match=rf"{who}.* is at work here; wait for it or stop it; if .* remove {path}\.lease"
    ):
        exclusive(path, "me").__enter__()
    holder.communicate("\n")
    with exclusive(path, "me"):
        pass
    assert not lease_of(path).exists()


def test_a_machine_that_is_silent_for_minutes_loses_the_lock_and_notices(hold, tmp_path):
    path = tmp_path / "lock"
    holder = hold(path, "node7")
    path.unlink()
    os.kill(holder.pid, signal.SIGSTOP)
    grow_silent(path, locks.SILENCE - 60)
    with pytest.raises(AbovoError, match="node7"):
        exclusive(path, "me").__enter__()
    grow_silent(path, locks.SILENCE + 60)
    with exclusive(path, "another job") as lock:
        os.kill(holder.pid, signal.SIGCONT)
        _, errors = holder.communicate("\n")
        assert f"another job (process {os.getpid()} on " in errors.splitlines()[-1]
        assert "took over while this one was silent" in errors.splitlines()[-1]
        lock.confirm()


def test_a_holder_at_work_is_never_silent(hold, tmp_path):
    path = tmp_path / "lock"
    hold(path, "node7", heartbeat=0.05)
    grow_silent(path, 1000)
    end = time.monotonic() + 20
    while time.time() - lease_of(path).stat().st_mtime > 500:
        assert time.monotonic() < end
        time.sleep(0.02)


@preloads
@pytest.mark.parametrize("flock", [True, False])
def test_what_died_on_this_machine_holds_nothing(hold, lacking, tmp_path, flock):
    path = tmp_path / "lock"
    holder = hold(path, locks.this_machine().host, environment=lacking() if flock else lacking(NO_FLOCK="37"))
    with pytest.raises(AbovoError, match=f"process {holder.pid} on"):
        exclusive(path, "me").__enter__()
    holder.kill()
    holder.wait()
    assert lease_of(path).exists()
    with exclusive(path, "me"):
        pass


@preloads
def test_a_number_that_another_process_got_since_is_not_the_holder(tmp_path, hold, lacking):
    path = tmp_path / "lock"
    holder = hold(path, locks.this_machine().host, environment=lacking(NO_FLOCK="37"))
    holder.kill()
    holder.wait()
    lease = lease_of(path)
    lease.write_text(lease.read_text().replace(f'"process": {holder.pid}', f'"process": {os.getppid()}'))
    with exclusive(path, "me"):
        pass


def test_who_waits_goes_on_when_the_holder_ends(hold, tmp_path):
    path = tmp_path / "lock"
    holder, asked = hold(path, "node7"), []

    def waiting():
        asked.append(holder.poll())
        if len(asked) == 2:
            holder.communicate("\n")

    with exclusive(path, "me", waiting):
        assert asked == [None, None]


def test_nobody_waits_for_itself(tmp_path):
    path = tmp_path / "lock"
    with exclusive(path, "me"), pytest.raises(AbovoError, match=r"me .* is at work here"):
        exclusive(path, "me again", lambda: None).__enter__()


def test_a_folder_that_goes_with_its_lock_is_locked_anew(hold, tmp_path):
    path = tmp_path / "folder" / "lock"
    with exclusive(path, "one"):
        shutil.rmtree(path.parent)
    with exclusive(path, "two") as lock:
        assert Path(lock.file.name).exists()
