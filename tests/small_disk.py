"""Mount small file systems for tests to fill, where the kernel lets this process do so."""

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """Mount a file system of so many KB at `folder`; yields whether that was allowed."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def enlarge(folder, kilobytes):
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(folder)], check=True)


def may_mount():
    with tempfile.TemporaryDirectory() as folder, small_disk(Path(folder), 100) as mounted:
        return mounted
