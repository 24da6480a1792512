"""What the benches of the networks share, with contenders that take no time."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch

from pipeline.bench.networks import Contender, Run, Timing, flops_per_image, in_both_dtypes, scenes, seconds_per_image
from pipeline.bench.shares import ELSEWHERE, PLACES, watched
from pipeline.work import THREADS
from stages.annotators.sketch import SketchConfig
from stages.precision import resolve_dtype
from stages.records import UInt8Array

SIDE = 64


def build_noting(batches: list[list[UInt8Array]]) -> Run:
    return lambda images_hwc: batches.append(list(images_hwc))


def build_product() -> Run:
    def run(images_hwc: Sequence[UInt8Array]) -> object:
        return [
            torch.from_numpy(image_hwc[..., 0].astype(np.float32)) @ torch.ones(SIDE, 3) for image_hwc in images_hwc
        ]

    return run


def build_sleeping() -> Run:
    return lambda images_hwc: time.sleep(0.05 * len(images_hwc))


def test_every_image_is_seen_once_after_the_batch_that_warms_up() -> None:
    batches: list[list[UInt8Array]] = []
    contender = Contender("noting", partial(build_noting, batches), "float32", batch_size=2)
    seconds = seconds_per_image(contender, Timing(SIDE, images=5, rounds=1))
    assert [len(batch) for batch in batches] == [2, 2, 2, 1]
    assert len(seconds) == 1
    expected = scenes(SIDE, 5)
    for image_hwc, drawn in zip([image for batch in batches[1:] for image in batch], expected, strict=True):
        np.testing.assert_array_equal(image_hwc, drawn)


def test_the_seconds_of_a_batch_are_shared_by_its_images() -> None:
    contender = Contender("sleeping", build_sleeping, "float32", batch_size=4)
    (seconds,) = seconds_per_image(contender, Timing(SIDE, images=4, rounds=1))
    assert 0.05 <= seconds < 0.2


def test_every_core_takes_a_batch_of_its_own() -> None:
    threads: set[int] = set()
    together = threading.Barrier(torch.get_num_threads(), timeout=30)

    def build() -> Run:
        def run(images_hwc: Sequence[UInt8Array]) -> object:
            threads.add(threading.get_ident())
            return together.wait()

        return run

    cores = torch.get_num_threads()
    try:
        contender = Contender("meeting", build, "float32", batch_per_core=True)
        seconds_per_image(contender, Timing(SIDE, images=2 * cores, rounds=1))
    finally:
        torch.set_num_threads(cores)
    assert len(threads) == cores


def test_flops_are_those_of_one_image() -> None:
    assert flops_per_image([Contender("product", build_product, "float32", 8)], SIDE) == {
        "product": 2 * SIDE * SIDE * 3
    }


def test_what_auto_picks_comes_last_for_the_estimate() -> None:
    first, last = in_both_dtypes(lambda dtype: SketchConfig(dtype=dtype))
    assert last.dtype == resolve_dtype("auto", "cpu")
    assert {first.dtype, last.dtype} == {"float32", "bfloat16"}
    assert last.name == f"condset {last.dtype}"
    assert ("emulated" in first.name) == (first.dtype == "bfloat16")


def on_a_core(run: Callable[..., None], *arguments: float) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix=THREADS) as pool:
        pool.submit(run, *arguments).result()


def test_time_outside_of_every_known_place_is_that_of_loading() -> None:
    with watched() as seconds:
        on_a_core(time.sleep, 0.1)
    assert set(seconds) == {*PLACES.values(), ELSEWHERE}
    assert seconds[ELSEWHERE] == sum(seconds.values()) > 0.05


def test_time_within_a_known_place_is_counted_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep() -> None:
        time.sleep(0.5)  # long beside what a busy machine needs to start a thread

    monkeypatch.setitem(PLACES, sleep.__code__, "sleeping")
    with watched() as seconds:
        on_a_core(sleep)
    assert seconds["sleeping"] > 0.05
    assert seconds["sleeping"] > 0.8 * sum(seconds.values())
