"""What files of config/ may be called, where those lie that come with the library, and which name a wrong one means."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

# What a file may be called: its name is a folder of results, and a word of --config set="RUN.KEY=VALUE".
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]*")
ALLOWED = "letters (a-z), digits, - and _ make a name"
# The config/ that comes with the library, beside src/.
SHIPPED = Path(__file__).resolve().parents[3] / "config"


def close(name: str, known: Sequence[str]) -> str:
    """The known name that is meant, or all of them."""
    found = difflib.get_close_matches(name, known, 1)
    return f"did you mean {found[0]}?" if found else f"known: {', '.join(known) or 'none'}"
