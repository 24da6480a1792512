"""Where the watching thread finds the cores and the GPU, with code that stays in a place until it was seen there."""

import itertools
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest

from pipeline.bench.time_fractions import IDLE, PLACES, gpu_watched, watched
from pipeline.execution.worker import THREADS
from stages.annotate import annotate_batch
from stages.hardware.activity import doing
from stages.records import ConditionMembers, LoadedSample, Rejection

PATIENCE_SECONDS = 60
"""Until a test fails; a busy machine needs a while to start a thread."""


def wait_until(happened: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(PATIENCE_SECONDS * 500):
        if happened():
            return
        waiting.wait(0.002)
    raise AssertionError("it never happened")


class WaitingAnnotator:
    """Stays until it was seen, and makes nothing."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._seconds = seconds

    def __call__(self, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        wait_until(lambda: self._seconds.get("waiting", 0) > 0)
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
        on_a_core(wait_until, lambda: seconds[IDLE] > 0)
    assert set(seconds) == {*PLACES, IDLE}
    assert seconds[IDLE] == sum(seconds.values())


def test_time_within_a_known_place_is_counted_there() -> None:
    place = PLACES[0]

    @doing(place)
    def stay(seconds: Mapping[str, float]) -> None:
        wait_until(lambda: seconds[place] > 0)

    with watched("cpu") as seconds:
        on_a_core(stay, seconds)
    assert {place for place, spent in seconds.items() if spent} <= {place, IDLE}
    assert seconds[place] > 0


def test_time_in_an_annotator_is_named_after_it() -> None:
    with watched("cpu") as seconds:
        on_a_core(annotate_batch, [WaitingAnnotator(seconds)], [])
    assert {place for place, spent in seconds.items() if spent} <= {"waiting", IDLE}
    assert seconds["waiting"] > 0


def test_a_gpu_is_where_any_thread_calls_a_network_and_idle_while_others_encode() -> None:
    with watched("cuda") as seconds:
        on_a_core(wait_until, lambda: seconds[IDLE] > 0)
        assert set(seconds) == {IDLE}
        thread = threading.Thread(target=annotate_batch, args=([WaitingAnnotator(seconds)], []))
        thread.start()
        on_a_core(thread.join)
    assert set(seconds) == {IDLE, "waiting"}


@pytest.mark.usefixtures("driver")
def test_the_driver_is_asked_again_and_again_how_busy_the_gpu_is(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = itertools.count(10, 10)
    monkeypatch.setattr("torch.cuda.utilization", lambda: next(answers))
    with gpu_watched("cuda") as busy:
        wait_until(lambda: len(busy) >= 2)
    assert busy[:2] == [0.2, 0.3]  # the first answer told that there are any


def is_watched() -> bool:
    return "watch" in {thread.name for thread in threading.enumerate()}


def test_a_cpu_has_no_busy_share_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.utilization", lambda: 75)
    with gpu_watched("cpu") as busy:
        assert not is_watched()
    assert not busy


@pytest.mark.usefixtures("driver")
def test_a_gpu_whose_driver_has_no_figure_has_no_busy_share(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise DriverError("Not Supported")

    monkeypatch.setattr("torch.cuda.utilization", fail)
    with gpu_watched("cuda") as busy:
        assert not is_watched()
    assert not busy


def test_without_nvidias_library_there_is_no_busy_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with gpu_watched("cuda") as busy:
        assert not is_watched()
    assert not busy
