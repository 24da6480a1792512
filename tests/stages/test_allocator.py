"""What the allocator keeps is not asked of the kernel again; measured in a process of its own."""

import platform
import subprocess
import sys

import pytest

PAGE_FAULTS = """
import resource
from stages.allocator import keep_large_blocks
if {keep}:
    assert keep_large_blocks()
bytearray(64 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    bytearray(64 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep: bool) -> int:
    """Count the page faults of four buffers of 64 MiB, one after the other."""
    code = PAGE_FAULTS.format(keep=keep)
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_kept_blocks_cost_no_page_faults() -> None:
    assert page_faults(keep=False) > 4 * 1000
    assert page_faults(keep=True) < 100
