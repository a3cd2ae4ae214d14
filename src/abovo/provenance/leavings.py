"""Tell the files that systems and editors leave in folders from those that people put there."""

import re

# What systems and archivers leave, in small letters; the names of their folders hide all that is below.
LEAVINGS = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
FOLDERS_OF_SYSTEMS = {"__macosx", "lost+found", "$recycle.bin", "system volume information", "@eadir"}
# Copies and locks of editors and office programs; those that begin with a dot are hidden files anyway.
COPY = re.compile(r".*~|#.*#|~\$.*", re.DOTALL)
HIDDEN, EDITORS, SYSTEM = "hidden", "copies of editors", "leavings of systems"


def passed_over(name: str, *, folder: bool = False) -> str:
    """Why a file or folder of this name is passed over where all that is in a folder is taken; "" where it is not."""
    if name.startswith("."):
        return HIDDEN
    if COPY.fullmatch(name):
        return EDITORS
    return SYSTEM if name.lower() in (FOLDERS_OF_SYSTEMS if folder else LEAVINGS) else ""
