"""What the benches of the networks share, with contenders that take no time."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
import torch

from pipeline.bench.networks import (
    Contender,
    Run,
    Timing,
    as_worker,
    flops_per_image,
    in_native_dtypes,
    scenes,
    seconds_per_image,
)
from stages.annotators.sketch.annotator import SketchConfig
from stages.hardware.precision import resolve_dtype
from stages.records import UInt8Array
from tests.clock import Clock

SIDE = 64


def timing(images: int, device: str = "cpu") -> Timing:
    return Timing(SIDE, images, rounds=1, device=device)


def built(run: Run) -> Callable[[], AbstractContextManager[Run]]:
    """What builds a network that has nothing to load and nothing to leave."""
    return lambda: nullcontext(run)


def build_product() -> AbstractContextManager[Run]:
    def run(images_hwc: Sequence[UInt8Array]) -> object:
        return [
            torch.from_numpy(image_hwc[..., 0].astype(np.float32)) @ torch.ones(SIDE, 3) for image_hwc in images_hwc
        ]

    return nullcontext(run)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let torch say that there is a GPU; returns how often somebody has waited for it."""
    waited: list[None] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H100")
    monkeypatch.setattr("torch.cuda.synchronize", lambda: waited.append(None))
    return lambda: len(waited)


def test_every_image_is_seen_once_after_the_batch_that_warms_up() -> None:
    batches: list[list[UInt8Array]] = []
    noting = built(lambda images_hwc: batches.append(list(images_hwc)))
    contender = Contender("noting", noting, "float32", batch_size=2)
    seconds_per_image(contender, timing(images=5))
    assert [len(batch) for batch in batches] == [2, 2, 2, 2], "whole batches: another size would be another warm-up"
    expected = scenes(SIDE, 6)
    for image_hwc, drawn in zip([image for batch in batches[1:] for image in batch], expected, strict=True):
        np.testing.assert_array_equal(image_hwc, drawn)


def test_the_seconds_of_a_batch_are_shared_by_its_images() -> None:
    clock = Clock()
    waiting = built(lambda images_hwc: clock.wait(2.0 * len(images_hwc)))
    contender = Contender("waiting", waiting, "float32", batch_size=4)
    assert seconds_per_image(contender, timing(images=8), clock) == 2.0


def test_every_thread_takes_a_batch_of_its_own() -> None:
    threads: set[int] = set()
    together = threading.Barrier(3, timeout=300)

    def run(images_hwc: Sequence[UInt8Array]) -> object:
        threads.add(threading.get_ident())
        return together.wait()

    seconds_per_image(Contender("meeting", built(run), "float32", threads=3), timing(images=6))
    assert len(threads) == 3


def test_a_gpu_is_waited_for_before_the_clock_starts_and_before_it_stops(gpu: Callable[[], int]) -> None:
    seen: list[int] = []

    asynchronous = Contender("asynchronous", built(lambda images_hwc: seen.append(gpu())), "float32")
    seconds_per_image(asynchronous, timing(images=2, device="cuda"))
    assert (seen, gpu()) == ([0, 1, 1], 2)


def test_flops_are_those_of_one_image() -> None:
    assert flops_per_image([Contender("product", build_product, "float32", 8)], SIDE) == {
        "product": 2 * SIDE * SIDE * 3
    }


def test_what_auto_picks_comes_last_for_the_estimate_and_nothing_is_emulated() -> None:
    contenders = list(in_native_dtypes(lambda dtype: SketchConfig(dtype=dtype), "cpu"))
    native = ["float32", "bfloat16"] if resolve_dtype("auto", "cpu") == "bfloat16" else ["float32"]
    assert [contender.dtype for contender in contenders] == native
    assert [contender.name for contender in contenders] == [f"condset {dtype}" for dtype in native]


def test_on_a_cpu_each_thread_has_one_image() -> None:
    contender = as_worker("ours", SketchConfig(), "cpu")
    assert (contender.batch_size, contender.threads) == (1, torch.get_num_threads())


@pytest.mark.usefixtures("gpu")
def test_on_a_gpu_one_thread_has_the_batches_of_a_worker() -> None:
    contenders = list(in_native_dtypes(lambda dtype: SketchConfig(dtype=dtype), "cuda"))
    assert [contender.name for contender in contenders] == ["condset float32", "condset bfloat16"]
    assert {(contender.batch_size, contender.threads) for contender in contenders} == {(16, 1)}


@pytest.mark.usefixtures("gpu")
def test_a_title_names_the_device() -> None:
    cores = f"{torch.get_num_threads()} threads"
    assert (
        timing(8).title("PiDiNet", [], 8) == f"PiDiNet at 64x64, {cores}, the published weights, 1 rounds of 8 images"
    )
    assert timing(8, "cuda").title("PiDiNet", [], 8).split(", ")[1] == "NVIDIA H100"
