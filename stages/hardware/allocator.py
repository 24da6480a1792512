"""Keep glibc's allocator from handing large blocks back to the system after every use.

A network on a CPU frees its activations layer by layer. glibc gives every block over 32 MB back at once, and the kernel
clears each page of the next one anew: 0.5 million page faults for one 512x512 image in controlnet_aux's PiDiNet, over
40 % of its time. The arenas that glibc gives to further threads hold blocks of up to 64 MiB and ask the system for each
larger one; with a single arena all threads keep theirs. The price: the process stays as large as it has been at most.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
"""Of glibc's malloc.h."""
THRESHOLD_BYTES = 1 << 30
PAD_BYTES = 1 << 28
"""Asked of the system beyond what is needed, each time that the arena grows; only what is used becomes memory. With the
default of 128 KiB two networks side by side still cost 40,000 page faults an image, a tenth of the time."""


def keep_large_blocks() -> bool:
    """Let this process keep freed blocks of up to 1 GiB for its next allocations; False where there is no mallopt.

    That is outside of Linux, and with musl instead of glibc.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    options = {
        M_TRIM_THRESHOLD: THRESHOLD_BYTES,
        M_TOP_PAD: PAD_BYTES,
        M_MMAP_THRESHOLD: THRESHOLD_BYTES,
        M_ARENA_MAX: 1,
    }
    return all(library.mallopt(option, value) == 1 for option, value in options.items())
