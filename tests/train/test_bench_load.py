"""The bench of loading in small: its contenders give the same kind of batches, and its figures belong together."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.bench.measure import fresh
from train.bench_load import (
    SHARDS,
    Contender,
    Setting,
    batch_seconds,
    figures_of,
    make_data,
    stored_bytes,
    webdataset_batches,
)

from .conftest import Console

SETTING = Setting(size_pixels=64, batch_size=2, batches=3, samples=8, workers=2)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bench")
    make_data(SETTING, made)
    return made


@pytest.mark.parametrize("contender", [Contender.IMAGES, Contender.LATENTS])
def test_each_contender_reads_batches_without_end(scratch: Path, contender: Contender) -> None:
    assert 0 < batch_seconds(SETTING, scratch, contender) < 5


def described_batches(data: Path) -> list[list[tuple[object, ...]]]:
    """Shape and dtype of the arrays, and the captions, of more batches than there are samples."""
    batches = webdataset_batches(SETTING, data, processes=0)
    read: list[Any] = [next(batches) for _ in range(SETTING.samples)]
    return [[(part.shape, part.dtype.name) for part in batch[:2]] + [tuple(batch[2])] for batch in read]


def test_webdatasets_batches_are_images_conditions_and_captions(scratch: Path) -> None:
    # In a process of its own: webdataset leaves its files to the garbage collector.
    for image, condition, captions in fresh(described_batches, scratch / "data"):
        assert image == condition == ((2, 64, 64, 3), "uint8")
        assert len(captions) == 2
        assert all(isinstance(caption, str) and caption for caption in captions)


def test_the_stored_bytes_are_those_of_the_tars_that_are_read(scratch: Path) -> None:
    tars = {path: path.stat().st_size for path in (scratch / "data").rglob("*.tar")}
    assert len(tars) == 2 * SHARDS
    assert stored_bytes(scratch / "data", Contender.LATENTS) == sum(tars.values())
    base = sum(size for path, size in tars.items() if "layers" not in path.parts)
    assert stored_bytes(scratch / "data", Contender.IMAGES) == base


def test_figures_are_medians_beside_webdataset() -> None:
    seconds = {Contender.WEBDATASET: [0.5, 4.0, 0.25], Contender.IMAGES: [0.125, 0.125, 9.0]}
    stored = {Contender.WEBDATASET: 1000.0, Contender.IMAGES: 3000.0}
    reference, ours = figures_of(seconds, stored, batch_size=8)
    assert (reference.images_per_second, reference.ratio, reference.batches_per_second) == (16, 1, 2)
    assert (ours.images_per_second, ours.ratio, ours.batches_per_second) == (64, 4, 8)
    assert (reference.stored_bytes_per_second, ours.stored_bytes_per_second) == (16_000, 192_000)


@pytest.mark.slow
def test_the_command_prints_figures_for_machines(condset: Console) -> None:
    arguments = ["--size", "64", "--batch", "2", "--batches", "3", "--samples", "8", "--workers", "2", "--rounds", "1"]
    status, printed, _ = condset("bench", "load", *arguments, "--json")
    assert status == 0
    result = json.loads(printed)
    assert [figure["name"] for figure in result["figures"]] == list(Contender)
    reference = result["figures"][0]["images_per_second"]
    for figure in result["figures"]:
        assert figure["images_per_second"] == pytest.approx(reference * figure["ratio"])
        assert figure["images_per_second"] == pytest.approx(2 * figure["batches_per_second"])
