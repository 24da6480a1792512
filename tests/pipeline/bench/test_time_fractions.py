"""Where the watching thread finds the cores and the GPU, with code that only sleeps."""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest

from pipeline.bench.time_fractions import GPU_LOOK_SECONDS, IDLE, PLACES, gpu_watched, watched
from pipeline.execution.worker import THREADS
from stages.annotate import annotate_in_halves
from stages.records import ConditionMembers, LoadedSample, Rejection

SLEEP_SECONDS = 0.5
"""Long beside what a busy machine needs to start a thread."""


class SleepingAnnotator:
    """Takes its time and makes nothing."""

    def __call__(self, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        time.sleep(SLEEP_SECONDS)
        return []


class DriverError(Exception):
    """What the driver's library raises where a GPU has no figure."""


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nvidia-ml-py be installed."""
    library = ModuleType("pynvml")
    library.NVMLError = DriverError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", library)


def on_a_core(run: Callable[..., object], *arguments: object) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix=THREADS) as pool:
        pool.submit(run, *arguments).result()


def test_time_outside_of_every_known_place_is_idle() -> None:
    with watched("cpu") as seconds:
        on_a_core(time.sleep, SLEEP_SECONDS)
    assert set(seconds) == {*PLACES.values(), IDLE}
    assert seconds[IDLE] == sum(seconds.values()) > 0.05


def test_time_within_a_known_place_is_counted_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep() -> None:
        time.sleep(SLEEP_SECONDS)

    monkeypatch.setitem(PLACES, sleep.__code__, "sleeping")
    with watched("cpu") as seconds:
        on_a_core(sleep)
    assert seconds["sleeping"] > 0.05
    assert seconds["sleeping"] > 0.8 * sum(seconds.values())


def test_time_in_an_annotator_is_named_after_it() -> None:
    with watched("cpu") as seconds:
        on_a_core(annotate_in_halves, SleepingAnnotator(), [])
    assert seconds["sleeping"] > 0.8 * sum(seconds.values())


def test_a_gpu_is_where_any_thread_calls_a_network_and_idle_while_others_encode() -> None:
    with watched("cuda") as seconds:
        on_a_core(time.sleep, SLEEP_SECONDS)
        thread = threading.Thread(target=annotate_in_halves, args=(SleepingAnnotator(), []))
        thread.start()
        on_a_core(time.sleep, SLEEP_SECONDS)
        thread.join()
    assert set(seconds) == {IDLE, "sleeping"}
    assert min(seconds.values()) > 0.1


@pytest.mark.usefixtures("driver")
def test_the_driver_is_asked_again_and_again_how_busy_the_gpu_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.utilization", lambda: 75)
    with gpu_watched("cuda") as busy:
        time.sleep(10 * GPU_LOOK_SECONDS)
    assert len(busy) > 1
    assert set(busy) == {0.75}


def test_a_cpu_has_no_busy_share_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.utilization", lambda: 75)
    with gpu_watched("cpu") as busy:
        time.sleep(2 * GPU_LOOK_SECONDS)
    assert not busy


@pytest.mark.usefixtures("driver")
def test_a_gpu_whose_driver_has_no_figure_has_no_busy_share(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise DriverError("Not Supported")

    monkeypatch.setattr("torch.cuda.utilization", fail)
    with gpu_watched("cuda") as busy:
        time.sleep(2 * GPU_LOOK_SECONDS)
    assert not busy


def test_without_nvidias_library_there_is_no_busy_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with gpu_watched("cuda") as busy:
        time.sleep(2 * GPU_LOOK_SECONDS)
    assert not busy
