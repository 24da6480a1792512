"""What the allocator keeps is not asked of the kernel again; measured in a process of its own."""

import platform
import subprocess
import sys

import pytest

PAGE_FAULTS = """
import resource
from concurrent.futures import ThreadPoolExecutor
from stages.hardware.allocator import keep_large_blocks

def faults():
    bytearray(80 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        bytearray(80 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if {keep}:
    assert keep_large_blocks()
print(ThreadPoolExecutor(1).submit(faults).result() if {in_thread} else faults())
"""


def page_faults(keep: bool, in_thread: bool) -> int:
    """Count the page faults of four buffers of 80 MiB, one after the other."""
    code = PAGE_FAULTS.format(keep=keep, in_thread=in_thread)
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
@pytest.mark.parametrize("in_thread", [False, True])
def test_kept_blocks_cost_no_page_faults(in_thread: bool) -> None:
    assert page_faults(False, in_thread) > 4 * 1000
    assert page_faults(True, in_thread) < 100
