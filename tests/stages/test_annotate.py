"""Batches, their order, their halves when memory runs out, and one decode for any number of annotators."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pytest
import torch

from stages.annotate import QUEUED_BATCHES, Annotation, OnCores, OnGpu, annotate_in_halves
from stages.annotators.protocol import Annotator
from stages.errors import WorkerError
from stages.image.crop import ImageConfig
from stages.image.encode import encode_stored_image
from stages.members import encode_conditions, load_pixels
from stages.records import (
    AnnotatedSample,
    ConditionMembers,
    Crop,
    EncodedSample,
    ImageMember,
    IndexRow,
    LoadedSample,
    Reason,
    Rejection,
    StoredSample,
)
from stages.sources.index.schema import NO_KEYPOINTS


def stored(number: int) -> StoredSample:
    row = IndexRow(f"k{number}", "", ("a caption",), "", "", 64, 64, NO_KEYPOINTS, "", {}, None)
    image_hwc = np.full((64, 64, 3), number, np.uint8)
    image = encode_stored_image(image_hwc, ImageConfig(size_pixels=(64, 64), format="png"))
    return StoredSample(row, "a caption", image, b"", Crop(64, 64, (0.0, 0.0, 64.0, 64.0), 64, 64))


@dataclass
class Brightness:
    """Stores the first channel; holds at most `most` images, as a small GPU does; rejects `dark` ones."""

    most: int = 99
    dark: int = -1
    batches: list[int] = field(default_factory=list)
    seen: list[LoadedSample] = field(default_factory=list)

    def __call__(self, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        self.batches.append(len(samples))
        self.seen.extend(samples)
        if len(samples) > self.most:
            raise torch.OutOfMemoryError("full")
        return [self._annotate(sample) for sample in samples]

    def _annotate(self, sample: LoadedSample) -> ConditionMembers | Rejection:
        if sample.image_hwc[0, 0, 0] == self.dark:
            return Rejection(sample.key, Reason.NO_PERSON, "too dark to see")
        return (ImageMember("brightness.png", sample.image_hwc[:, :, 0].copy()),)


Build: TypeAlias = Callable[[tuple[Annotator, ...], int], Annotation]


@pytest.fixture(params=["on cores", "on a GPU"])
def annotation(request: pytest.FixtureRequest) -> Build:
    """Both ways of annotating: neither needs the device that it is for."""

    def build(annotators: tuple[Annotator, ...], batch_size: int) -> Annotation:
        threads = ThreadPoolExecutor(2)
        if request.param == "on a GPU":
            return OnGpu(annotators, batch_size, encode_conditions, threads)
        return OnCores(annotators, batch_size, encode_conditions, threads, 2)

    return build


def ignore(samples: int) -> None:
    """Nobody watches the progress."""


def nothing() -> None:
    """Nobody waits for the networks."""


def keys(outcomes: list[EncodedSample | Rejection]) -> list[str]:
    return [outcome.key for outcome in outcomes]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 50])
def test_outcomes_come_in_the_order_of_the_samples(annotation: Build, batch_size: int) -> None:
    told: list[int] = []
    outcomes = annotation((Brightness(),), batch_size)([stored(number) for number in range(23)], told.append, nothing)
    assert keys(outcomes) == [f"k{number}" for number in range(23)]
    assert sum(told) == 23


def test_no_samples_are_no_outcomes(annotation: Build) -> None:
    assert annotation((Brightness(),), 4)([], ignore, nothing) == []


def test_a_sample_that_one_annotator_rejects_is_rejected_and_its_neighbours_are_not(annotation: Build) -> None:
    told: list[int] = []
    outcomes = annotation((Brightness(), Brightness(dark=2)), 2)([stored(n) for n in range(4)], told.append, nothing)
    assert sum(told) == 3  # the rejected one is counted when its shard is committed
    assert [type(outcome) for outcome in outcomes] == [EncodedSample, EncodedSample, Rejection, EncodedSample]


def test_each_stored_image_is_decoded_once_for_any_number_of_annotators(annotation: Build) -> None:
    six = tuple(Brightness() for _ in range(6))
    annotation(six, 2)([stored(number) for number in range(5)], ignore, nothing)
    for annotator in six:  # all were given the very same arrays, which `seen` keeps alive
        assert {sample.key: id(sample.image_hwc) for sample in annotator.seen} == {
            sample.key: id(sample.image_hwc) for sample in six[0].seen
        }
    assert sorted(sample.key for sample in six[0].seen) == [f"k{number}" for number in range(5)]


def test_every_core_has_an_image_of_its_own() -> None:
    together = threading.Barrier(3, timeout=300)

    def meet(samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        together.wait()
        return [() for _ in samples]

    annotate = OnCores((meet,), 1, encode_conditions, ThreadPoolExecutor(3), 3)
    assert len(annotate([stored(number) for number in range(6)], ignore, nothing)) == 6


def test_others_may_begin_while_the_last_batches_are_under_way() -> None:
    begun = threading.Event()

    def wait(samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        assert begun.wait(300)
        return [() for _ in samples]

    annotate = OnCores((wait,), 1, encode_conditions, ThreadPoolExecutor(2), 2)
    assert len(annotate([stored(number) for number in range(3)], ignore, begun.set)) == 3


def test_others_may_have_the_gpu_while_the_last_batches_are_encoded() -> None:
    begun = threading.Event()

    def encode(sample: AnnotatedSample) -> EncodedSample:
        assert begun.wait(300)
        return encode_conditions(sample)

    annotate = OnGpu((Brightness(),), 2, encode, ThreadPoolExecutor(2))
    assert len(annotate([stored(number) for number in range(3)], ignore, begun.set)) == 3


def test_after_an_error_only_what_was_queued_is_begun() -> None:
    begun: list[str] = []

    def fail(samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        begun.extend(sample.key for sample in samples)
        raise WorkerError("broken")

    annotate = OnCores((fail,), 1, encode_conditions, ThreadPoolExecutor(2), 2)
    with pytest.raises(WorkerError, match="broken"):
        annotate([stored(number) for number in range(50)], ignore, nothing)
    assert 1 <= len(begun) <= QUEUED_BATCHES * 2


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    network = Brightness(most=2)
    batch = [load_pixels(stored(number)) for number in range(7)]
    results = annotate_in_halves(network, batch)
    assert [result[0].pixels[0, 0] for result in results if isinstance(result, tuple)] == list(range(7))  # type: ignore[union-attr]
    assert network.batches == [7, 3, 1, 2, 4, 2, 2]


def test_one_image_that_does_not_fit_is_said_in_one_line() -> None:
    with pytest.raises(
        WorkerError, match="one 64x64 image must fit in the GPU's memory with Brightness, got full; use a smaller"
    ):
        annotate_in_halves(Brightness(most=0), [load_pixels(stored(1))])
