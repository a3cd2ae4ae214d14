"""Turn the path of a file that Snakemake would take for a pattern into that of a link to it, which is plain."""

import os
import re
from pathlib import Path

from abovo.provenance.hashing import sha256_bytes
from abovo.provenance.requests import REQUESTS

# Braces stand for wildcards in every path, and nothing escapes them in what an input function gives.
ODD = re.compile(r"[{}\x00-\x1f]")


def stand_in(path: str) -> str:
    """The path itself where it is plain, else a link to it below results/settings/, as old as the file.

    Each link lies in a folder of its own, as requests do: Snakemake lists a folder once while it plans.
    """
    if not ODD.search(path):
        return path
    link = REQUESTS / "files" / sha256_bytes(path.encode())[:16] / ODD.sub("-", Path(path).name)
    target = Path.cwd() / path
    if not link.is_symlink() or link.readlink() != target:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    time = target.stat().st_mtime_ns
    os.utime(link, ns=(time, time), follow_symlinks=False)
    return str(link)
