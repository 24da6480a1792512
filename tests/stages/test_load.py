"""What is loaded is a function of the row, the bytes and the seed: nothing else that has run shows in it."""

import asyncio
import threading
from pathlib import Path
from typing import ClassVar

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from stages.image.crop import ImageConfig
from stages.load import Loading, load_sample, load_samples
from stages.records import IndexRow, Rejection, StoredSample
from stages.sources.index.schema import NO_KEYPOINTS

KEYS = tuple(f"{number:06d}" for number in range(6))
RANDOM_CROP = ImageConfig(size_pixels=(64, 64), fit="random_crop")


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture of noise, so wide that two crops are at the same place once in 900."""
    path = tmp_path_factory.mktemp("load") / "wide.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 963, 3), np.uint8)).save(path)
    return path


def load(photograph: Path, keys: tuple[str, ...] = KEYS, seed: int = 0) -> dict[str, StoredSample]:
    """Load the picture under each of the keys, in that order."""
    rows = [IndexRow(key, photograph.name, ("a caption",), "", "", 0, 0, NO_KEYPOINTS, "", {}, None) for key in keys]
    loaded = load_samples(rows, Loading(str(photograph.parent), "", 0, RANDOM_CROP, seed))
    samples = {each.row.key: each for each in loaded if isinstance(each, StoredSample)}
    assert tuple(samples) == keys
    return samples


def crops(samples: dict[str, StoredSample]) -> dict[str, tuple[tuple[float, ...], bytes]]:
    return {key: (sample.crop.box, sample.image_bytes) for key, sample in samples.items()}


def test_a_key_has_the_same_random_crop_every_time_and_in_any_order(photograph: Path) -> None:
    expected = crops(load(photograph))
    assert crops(load(photograph)) == expected
    assert crops(load(photograph, KEYS[::-1])) == expected
    assert crops(load(photograph, KEYS[3:4])) == {KEYS[3]: expected[KEYS[3]]}


def test_every_key_has_a_random_crop_of_its_own(photograph: Path) -> None:
    assert len(set(crops(load(photograph)).values())) == len(KEYS)


def test_annotations_of_a_picture_whose_size_is_not_stated_are_taken_as_they_are(photograph: Path) -> None:
    keypoints = np.ones((1, 17, 3), np.float32)
    loading = Loading(str(photograph.parent), "", 0, RANDOM_CROP, 0)
    for size, expected in [((0, 0), StoredSample), ((963, 64), StoredSample), ((963, 63), Rejection)]:
        row = IndexRow("k", photograph.name, ("a caption",), "", "", *size, keypoints, "", {}, None)
        assert isinstance(load_sample(row, loading), expected)


def test_every_seed_has_random_crops_of_its_own(photograph: Path) -> None:
    first, second = crops(load(photograph, seed=0)), crops(load(photograph, seed=1))
    assert all(first[key] != second[key] for key in KEYS)


class StoppingFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store whose second file asks to stop while it is read."""

    protocol = "stopping"
    stop: threading.Event
    read: ClassVar[list[str]] = []

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: object) -> bytes:
        self.read.append(path)
        if len(self.read) == 2:
            self.stop.set()
        return super().cat_file(path, start, end, **options)  # type: ignore[no-any-return]


def test_loading_ends_at_the_image_at_hand_when_nobody_wants_the_result(photograph: Path) -> None:
    fsspec.register_implementation("stopping", StoppingFileSystem, clobber=True)
    StoppingFileSystem.stop = threading.Event()
    fsspec.filesystem("stopping").pipe_file("/bucket/a.png", photograph.read_bytes())
    row = IndexRow("k", "a.png", ("a caption",), "", "", 0, 0, NO_KEYPOINTS, "", {}, None)
    with pytest.raises(asyncio.CancelledError):
        load_samples([row] * 5, Loading("stopping://bucket", "", 0, RANDOM_CROP, 0), StoppingFileSystem.stop)
    assert len(StoppingFileSystem.read) == 2
