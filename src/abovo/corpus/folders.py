"""Turn a folder into the files below it, each with the reason why it is passed over, or none."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from abovo.console.progress import several
from abovo.errors import AbovoError
from abovo.provenance.leavings import passed_over

SUFFIX = re.compile(r"(?:\.[a-z0-9]{1,12})?\.(?:gz|zst|bz2|xz)\Z|\.[a-z0-9]{1,12}\Z")
LINKED_TWICE, SPECIAL = "links to folders that are read", "pipes and devices"
# What is not read, by suffix or reason -> {"files": number, "bytes": sum}
Unread = Mapping[str, Mapping[str, int]]


class Entry(NamedTuple):
    """A file below a folder, by its `name` there; `why` says why it is passed over, "" where it may be read."""

    name: str
    path: Path
    why: str


def walk(folder: Path) -> Iterator[Entry]:
    """All files below a folder, links to other folders followed, and each real folder entered once.

    What lies in the folder itself has its own name; a folder that only links lead to that of the first link in the
    order of names. Raises AbovoError for what cannot be looked into and for links that lead nowhere.
    """
    seen, waiting, links = {_identity(folder)}, [("", folder)], list[tuple[str, Path]]()
    while waiting or links:
        if waiting:
            prefix, place = waiting.pop()
        else:
            links.sort()
            prefix, place = links.pop(0)
            if _identity(place) in seen:
                yield Entry(prefix, place, LINKED_TWICE)
                continue
            seen.add(_identity(place))
        for entry in _scan(place):
            name, path = f"{prefix}/{entry.name}".removeprefix("/"), Path(entry.path)
            own_folder = entry.is_dir(follow_symlinks=False)
            why = passed_over(entry.name, folder=own_folder)
            if own_folder:
                if why:
                    yield from _below(name, path, why)
                elif _identity(path) not in seen:
                    seen.add(_identity(path))
                    waiting.append((name, path))
            elif why:
                yield Entry(name, path, why)
            elif entry.is_symlink() and _leads_to_folder(path):
                links.append((name, path))
            else:
                yield Entry(name, path, "" if entry.is_file() else SPECIAL)


def suffix_of(name: str) -> str:
    """What a file without a reader is counted under: its suffix in small letters, with that of its packing."""
    found = SUFFIX.search(name.rpartition("/")[2].lower(), 1)
    return found[0] if found else "no suffix"


def told(unread: Unread) -> str:
    """What was not read, as one reads it: 12 files (3.4 MB): 10 .html (3.0 MB), 2 .docx (0.4 MB)."""
    largest = sorted(unread.items(), key=lambda item: (-item[1]["bytes"], item[0]))
    each = [f"{one['files']:,} {what} ({_size(one['bytes'])})" for what, one in largest]
    files, size = (sum(one[key] for one in unread.values()) for key in ("files", "bytes"))
    return f"{several(files, 'file')} ({_size(size)}): {', '.join(each)}"


def _size(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 50_000 else f"{number / 1e3:.1f} kB"


def _below(name: str, folder: Path, why: str) -> Iterator[Entry]:
    """The files of a folder that is passed over; what of it cannot be listed counts as nothing."""
    for place, _, files in os.walk(folder):
        for file in files:
            path = Path(place, file)
            yield Entry(f"{name}/{path.relative_to(folder).as_posix()}", path, why)


def _scan(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        mend = "make it readable, or name what is to be read one by one"
        raise AbovoError(f"the folder cannot be listed ({error.strerror})", shown(folder), mend) from None


def _leads_to_folder(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        what = f"the link leads to nothing that can be read ({error.strerror})"
        raise AbovoError(what, shown(link), "mend or remove it") from None
    return link.is_dir()


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def shown(path: Path) -> str:
    """A path as it can be written anywhere: one whose bytes are not UTF-8 as Python writes them."""
    name = str(path)
    return name if name.isprintable() else repr(os.fsencode(name))
