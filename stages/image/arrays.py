"""Reading .npy files that anybody may have written: an array or a ValueError, in no more memory than the file has.

NumPy makes room for what a header claims before it looks for it, and lets what its parser raises through.
"""

import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt


def read_npy(content: bytes) -> npt.NDArray[Any]:
    """Read numbers from the bytes of a .npy file; ValueError if it is none, or claims more than there is."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
    except Exception as error:  # noqa: BLE001  NumPy evaluates the header as Python: its parser raises what it likes
        raise ValueError(f"array must be a .npy file, got {len(content)} bytes ({type(error).__name__})") from None
    claimed, there = math.prod(shape) * dtype.itemsize, len(content) - file.tell()
    if dtype.hasobject or min(shape, default=1) < 0 or claimed > there:
        raise ValueError(f"array must be of numbers that are there, got {claimed} bytes of {dtype} claimed of {there}")
    file.seek(0)
    values: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return values
