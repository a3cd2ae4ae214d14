"""Turn a list of packages that the project does not need into the interpreter of an environment that has them."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def environment_with(packages: Sequence[str], place: Path, *, others: bool = False) -> Path:
    """The interpreter of the environment `place`, made at the first call; with `others` it has all else from the one
    that runs this."""
    python, mark = place / "bin/python", place / "complete"
    if not mark.exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True, stderr=subprocess.DEVNULL)
        if others:
            (own,) = place.glob("lib/python*/site-packages")
            (own / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
        mark.touch()
    return python
