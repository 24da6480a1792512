"""What a process settles; in one of its own, because torch's threads are everybody's."""

import subprocess
import sys

import pytest

SETTLED = """
import cv2, torch
from stages.hardware.process import configure_process

configure_process({device!r}, threads=3)
print(torch.get_num_threads(), cv2.getNumThreads(), torch.backends.cudnn.conv.fp32_precision)
"""


@pytest.mark.parametrize(("device", "torch_threads"), [("cpu", 1), ("cuda", 3)])
def test_torch_has_one_thread_for_each_of_ours_on_a_cpu(device: str, torch_threads: int) -> None:
    code = SETTLED.format(device=device)
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert printed.split() == [str(torch_threads), "1", "ieee"]
