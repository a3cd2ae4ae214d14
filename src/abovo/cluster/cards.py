"""Turn the GPUs of a machine into those that a job has for itself.

A card is taken by an flock on a file of its own, which the kernel drops when the job dies, however it dies. Under a
scheduler it is one of those that the scheduler lets a job see; jobs that it keeps apart do not meet there.
"""

import contextlib
import fcntl
import json
import logging
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from abovo.errors import AbovoError

log = logging.getLogger("abovo")
VISIBLE = "CUDA_VISIBLE_DEVICES"
# How often a job that waits looks again, and says so again (s)
POLL, AGAIN = 1.0, 600.0
# A driver that wakes up its cards answers late (s)
PATIENCE = 60
# Where all calls on a machine look for locks
TEMPORARY = Path("/tmp")
# Open lock files: a card is a process's as long as the process lives
_held: list[IO[str]] = []


@dataclass(frozen=True)
class Card:
    """A GPU: what `CUDA_VISIBLE_DEVICES` calls it, the driver's own name of it, and what it is called to people."""

    visible: str
    identity: str
    title: str


def cards() -> list[Card]:
    """The GPUs of NVIDIA that this process may use, in the driver's order; none where there is no driver."""
    try:
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=PATIENCE).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    known = [_card(line) for line in told.splitlines() if line.startswith("GPU ")]
    if VISIBLE not in os.environ:
        return known
    found: list[Card] = []
    for word in map(str.strip, os.environ[VISIBLE].split(",")):
        # a number, the beginning of a name, or a part of a card (MIG), which is a card of its own
        same = [card for place, card in enumerate(known) if word == str(place) or card.identity.startswith(word)]
        if not word or not (same or word.startswith("MIG-")):
            break  # as CUDA does: what follows a card that is not there is not seen
        card = same[0] if same else Card(word, word, word)
        if all(card.identity != other.identity for other in found):
            found.append(Card(word, card.identity, card.title))
    return found


def _card(line: str) -> Card:
    """`GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-…)`."""
    title, _, rest = line.partition(" (UUID: ")
    identity = rest.rstrip(")") or title
    return Card(identity, identity, title)


def check_counted(counted: int, jobs: int) -> None:
    """Raise AbovoError where a profile counts `counted` GPUs for `jobs` jobs that want some, and there are fewer here.

    AMD's cards are not looked for: their driver stands for them.
    """
    if not jobs or Path("/dev/kfd").exists() or (here := len(cards())) >= counted:
        return
    if not here:
        hidden = f" ({VISIBLE} hides all)" if os.environ.get(VISIBLE) in ("", "-1") else ""
        mend = "look at nvidia-smi -L; snakemake --cores all TARGET, without a profile, trains on the processor"
        want = "1 job wants" if jobs == 1 else f"{jobs} jobs want"
        raise AbovoError(f"no GPU is here{hidden}, and {want} one", "--profile gpu", mend)
    seen = "1 is" if here == 1 else f"{here} are"
    raise AbovoError(f"{counted} GPUs are counted on, {seen} here", "resources, key gpu", f"say --resources gpu={here}")


def check_wanted(wanted: int) -> None:
    """Raise AbovoError where a training has more processes on a machine than this one has GPUs."""
    here = len(cards())
    if 0 < here < wanted and not Path("/dev/kfd").exists():
        what = f"{wanted} GPUs are wanted on {socket.gethostname()}, {here} are there"
        raise AbovoError(what, "engine.processes", "set it to the number of GPUs of all its nodes")


def leave_cards() -> None:
    """Let this process see no card."""
    os.environ[VISIBLE] = ""


def take_cards(number: int, work: str, idle: Callable[[], bool] = bool) -> list[Card]:
    """Wait for `number` free cards, take them until this process ends, and let it see no others; `work` is what others
    are told of it.

    None where there are no cards, or a job that would have to wait is `idle`, with nothing to
    compute. Raises AbovoError where there are fewer than wanted.
    """
    known = [] if _held else cards()
    if not known:
        return []
    check_wanted(number)
    said = -AGAIN
    while len(taken := _try(known, number, work, place := _folder())) < number:
        if said < 0 and idle():
            return []
        if time.monotonic() - said >= AGAIN:
            said = time.monotonic()
            holders = "; ".join(f"{card.title} is taken by {_holder(_file(place, card))}" for card in known)
            log.info("waits for %d of %d GPUs: %s", number, len(known), holders)
        time.sleep(POLL)
    chosen = list(taken)
    _held.extend(taken.values())
    _keep(place)
    os.environ[VISIBLE] = ",".join(card.visible for card in chosen)
    log.info("takes %s", ", ".join(card.title for card in chosen))
    return chosen


def keep_over_exec() -> None:
    """Let the cards stay with the program that this process is about to become."""
    for file in _held:
        os.set_inheritable(file.fileno(), True)


def _try(known: Sequence[Card], number: int, work: str, folder: Path) -> Mapping[Card, IO[str]]:
    """`number` free cards and their locks, or none: who held a few while waiting for more could wait for ever."""
    taken: dict[Card, IO[str]] = {}
    for card in known:
        file: IO[str] = _file(folder, card).open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(file.fileno()), _file(folder, card).stat())
        except (BlockingIOError, FileNotFoundError):
            held = False
        if not held:  # by another one, or its file was removed meanwhile, as by what cleans /tmp
            file.close()
            continue
        taken[card] = file
        if len(taken) == number:
            break
    if len(taken) < number:
        for file in taken.values():
            file.close()
        return {}
    for file in taken.values():
        file.truncate(0)
        file.write(json.dumps({"process": os.getpid(), "work": work}))
        file.flush()
    return taken


def _keep(folder: Path) -> None:
    """Lock the folder, too, until this process or what it becomes ends: what cleans /tmp (systemd-tmpfiles) then passes
    over it, and a card whose file is gone would be free."""
    place = os.open(folder, os.O_RDONLY)
    os.set_inheritable(place, True)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(place, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _file(folder: Path, card: Card) -> Path:
    return folder / f"{''.join(letter if letter.isalnum() else '-' for letter in card.identity)}.lock"


def _holder(file: Path) -> str:
    try:
        told = json.loads(file.read_text())
        return f"{told['work']} (process {told['process']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "nobody, or one that says no name"


def _folder() -> Path:
    """Where the locks of this user lie on this machine; calls with another TMPDIR meet there.

    Raises AbovoError where the folder is someone else's.
    """
    shared = TEMPORARY if os.access(TEMPORARY, os.W_OK) else Path(tempfile.gettempdir())
    place = shared / f"abovo-cards-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    if place.is_symlink() or not place.is_dir() or place.stat().st_uid != os.getuid():
        raise AbovoError("is no folder of yours", place, "remove it, or have its owner do so")
    return place
