"""What a process that annotates configures once for all of its threads, before it loads a network."""

from stages.hardware.allocator import keep_large_blocks
from stages.hardware.float32_products import configure_float32_products


def configure_process(device: str, threads: int) -> None:
    """Fix the threads of torch and of OpenCV, the precision of "float32", and the allocator.

    `threads` are ours. On a CPU each of them computes on an image of its own, so torch and OpenCV must not divide the
    work once more; beside a GPU torch may use as many for what it does on the CPU.
    """
    import cv2
    import torch

    torch.set_num_threads(1 if device == "cpu" else threads)
    cv2.setNumThreads(1)
    keep_large_blocks()
    configure_float32_products(device)
    # "float32" means float32: cuDNN would multiply in TF32, with ten bits of mantissa.
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # set at run time
