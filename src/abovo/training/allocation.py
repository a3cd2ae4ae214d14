"""Turn glibc's allocator into one that keeps what it was given back, for training steps that ask for the same again.

A step's forward pass takes memory that its backward pass frees. glibc returns large pieces to the system at once, which
then has to clear and map them for the next step: for a small model on a CPU a tenth of the time and more.
"""

import ctypes
import sys

# From malloc.h: return free memory at the top only above this size (bytes); take so many pieces from the system apart.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep memory that it frees; the most that it holds at once stays what it was.

    Returns whether its C library is one that can, as glibc is.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(TRIM_THRESHOLD, LARGEST) and mallopt(MMAP_MAX, 0))
