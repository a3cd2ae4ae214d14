"""Turn glibc's allocator into one that keeps what it was given back, for training steps that ask for the same again.

A step's forward pass takes memory that its backward pass frees. glibc returns it to the system, which then has to clear
and map it for the next step: for a small model on a CPU a tenth of the time.
"""

import ctypes
import sys

# Options of malloc.h: from which size on memory (bytes) is returned, and pieces are taken from the system apart
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
# The largest that each may be. The second is what glibc itself comes to; above it, holes would be too many to reuse.
NEVER, LARGEST_PIECE = 2**31 - 1, 32 << 20


def keep_freed_memory() -> bool:
    """Let this process keep memory that it frees; the most that it holds at once stays what it was.

    Returns whether its C library is one that can, as glibc is.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(MMAP_THRESHOLD, LARGEST_PIECE) and mallopt(TRIM_THRESHOLD, NEVER))
