"""What a process is configured with while it annotates, and that it is as before in the end."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeAlias

import cv2
import pytest
import torch

from stages.hardware.process import configured_process, opencv_threads, torch_threads

State: TypeAlias = tuple[int, int, str, str, str, str]


def state() -> State:
    """Everything that is configured, and can be asked for."""
    backends = torch.backends
    return (
        torch.get_num_threads(),
        cv2.getNumThreads(),
        torch.get_float32_matmul_precision(),
        backends.cuda.matmul.fp32_precision,
        backends.mkldnn.matmul.fp32_precision,  # type: ignore[attr-defined]  # set at run time
        backends.cudnn.conv.fp32_precision,  # type: ignore[attr-defined]
    )


@pytest.fixture(autouse=True)
def _other_threads() -> Iterator[None]:
    """Begin with numbers of threads that nothing here asks for."""
    with torch_threads(5), opencv_threads(6):
        yield


@pytest.mark.parametrize(("device", "threads"), [("cpu", 1), ("cuda", 3)])
def test_torch_has_one_thread_for_each_of_ours_on_a_cpu(device: str, threads: int) -> None:
    with configured_process(device, threads=3):
        torch_now, opencv_now, *_, convolutions = state()
    assert (torch_now, opencv_now, convolutions) == (threads, 1, "ieee")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_process_is_as_before_after_the_block_and_after_an_error_in_it(device: str) -> None:
    before = state()
    with configured_process(device, threads=3):
        assert state() != before
    assert state() == before
    with pytest.raises(ZeroDivisionError), configured_process(device, threads=3):
        1 / 0  # noqa: B018
    assert state() == before


def test_a_thread_that_computes_for_the_first_time_takes_the_number_that_holds() -> None:
    with configured_process("cpu", threads=3), ThreadPoolExecutor(1) as inside:
        assert inside.submit(torch.get_num_threads).result() == 1
    with ThreadPoolExecutor(1) as after:
        assert after.submit(torch.get_num_threads).result() == 5


@pytest.mark.parametrize("threads", [torch_threads, opencv_threads])
def test_threads_are_as_before_after_an_error(threads: Callable[[int], AbstractContextManager[None]]) -> None:
    before = state()
    with threads(2):
        assert 2 in state()
    with pytest.raises(ZeroDivisionError), threads(2):
        1 / 0  # noqa: B018
    assert state() == before


def test_no_number_of_threads_is_torchs_own() -> None:
    with torch_threads(0):
        assert torch.get_num_threads() == 5


def test_a_program_that_set_the_precision_of_one_library_gets_it_back() -> None:
    """torch refuses to read its setting for all libraries from there on, so in a process of its own."""
    code = """
import torch
from stages.hardware.process import configured_process

torch.backends.cuda.matmul.fp32_precision = "tf32"
with configured_process("cpu", threads=2):
    pass
print(torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision)
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert printed.split() == ["tf32", "none"]
