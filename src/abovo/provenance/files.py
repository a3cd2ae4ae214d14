"""Write files so that a reader, or a process that comes after kill -9, sees all of a file or nothing of it."""

import errno
import json
import logging
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError

log = logging.getLogger("abovo")
# What a file system says that does not know a call at all
NOT_HERE = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
_warned: set[str] = set()
# Files that a process has open besides those that it works on: logs, libraries, a lock.
SPARE_FILES = 64


@contextmanager
def atomic_path(path: Path, *, lasting: bool = True) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well it is fsynced and renamed to `path`, else removed.

    What is not `lasting` may be empty after a power cut, and is not fsynced, which takes milliseconds a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        if lasting:
            sync(temporary)
        temporary.replace(path)
        if lasting:
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file for people and machines: indented, sorted keys, a final newline, atomically."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AbovoError("the file does not exist", path, "make it first: snakemake --cores 1 " + str(path)) from None
    except OSError as error:
        raise AbovoError(
            f"cannot be read ({str(error.strerror).lower()})", path, "make it readable, or name another file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise AbovoError(f"not valid JSON ({str(error)[:100]})", path, "where a job made it, make it again") from None


def sync(path: Path) -> None:
    """Flush a file or folder to the disk, as far as the file system can."""
    folder = path.is_dir()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # a folder opened for reading is no file to flush for some network file systems
        if error.errno not in (*NOT_HERE, *((errno.EBADF, errno.EACCES, errno.EISDIR) if folder else ())):
            raise
        reason = str(error.strerror).lower()
        what = "folders" if folder else "files"
        warn_once(
            f"fsync of {what}",
            f"{path}: this file system has no fsync of {what} ({reason}); what a power cut loses is made again",
        )
    finally:
        os.close(descriptor)


def warn_once(what: str, line: str) -> None:
    """Tell a peculiarity of the file system, the first time that this process meets it."""
    if what not in _warned:
        _warned.add(what)
        log.warning("warning: %s", line)


def allow_open_files(number: int) -> None:
    """See to it that so many files may be open at once. Raises AbovoError where the system does not allow it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != soft < number:
        if resource.RLIM_INFINITY != hard < number:
            what = f"{number} files have to be open at once, and the system allows {hard}"
            raise AbovoError(what, "open files", "raise the limit: ulimit -Hn")
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def link_or_copy(source: Path, target: Path) -> None:
    """Put `source` at `target` atomically: as a hard link, or as a copy where the file system has no links.

    One process at a time may do so; what one that was killed left behind is removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.partial")
    temporary.unlink(missing_ok=True)
    # Renaming one link of a file over another does nothing, and would leave both.
    if target.exists() and target.samefile(source):
        return
    try:
        temporary.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)
