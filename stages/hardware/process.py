"""What a process that annotates configures for all of its threads, before it loads a network; and how it was before.

    configured_process ──> torch's threads, OpenCV's threads, float32 products, cuDNN's precision ──> all as they were

The invariant: after the block everything is as it was before it, whatever the block raised, but for the allocator.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from stages.hardware.allocator import keep_large_blocks
from stages.hardware.float32_products import float32_products


@contextmanager
def configured_process(device: str, threads: int) -> Iterator[None]:
    """Fix the threads of torch and of OpenCV and the precision of "float32" while the block runs.

    `threads` are ours. On a CPU each of them computes on an image of its own, so torch and OpenCV must not divide the
    work once more; beside a GPU torch may use as many for what it does on the CPU. The block must end in the thread
    that it began in, and threads that compute must begin in it: see `torch_threads`.

    The allocator keeps what it is told here for the rest of the process: glibc does not say what it was.
    """
    keep_large_blocks()
    with torch_threads(1 if device == "cpu" else threads), opencv_threads(1), float32_products(device), _full_float32():
        yield


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Let torch divide its work on the CPU among so many threads while the block runs; 0 leaves torch's own choice.

    OpenMP keeps the number for each thread that calls torch: this one's is set and restored, a thread whose first call
    comes later takes what was set last, and one that has called torch before keeps its own.
    """
    if not number:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def opencv_threads(number: int) -> Iterator[None]:
    """Let OpenCV divide its work among so many threads, in all of the process, while the block runs."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(number)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@contextmanager
def _full_float32() -> Iterator[None]:
    """Let "float32" mean float32: cuDNN would multiply in TF32, with ten bits of mantissa."""
    import torch

    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # set at run time
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before
