"""The bench of loading in small: its contenders give the same kind of batches, and its figures belong together."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.bench.limit import Bottleneck
from pipeline.bench.measure import Row, Table, fresh
from tests.console import condset
from train.bench.loading import (
    SHARDS,
    LoadBench,
    LoaderName,
    LoadingSetting,
    decoding_limits,
    make_data,
    seconds_per_image,
    stored_bytes,
    webdataset_batches,
)

SETTING = LoadingSetting(size_pixels=64, batch_size=2, batches=3, samples=8, workers=2)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bench")
    make_data(SETTING, made)
    return made


@pytest.mark.parametrize("contender", [LoaderName.IMAGES, LoaderName.LATENTS])
def test_each_contender_reads_batches_without_end(scratch: Path, contender: LoaderName) -> None:
    assert seconds_per_image(SETTING, scratch, contender) > 0


def test_the_limit_is_that_of_decoding_and_latents_need_none(scratch: Path) -> None:
    limits = decoding_limits(SETTING, scratch)
    assert set(limits) == set(LoaderName)
    assert {limit.bottleneck for limit in limits.values()} == {Bottleneck.DECODING}
    assert 0 < limits[LoaderName.LATENTS].seconds_per_image < limits[LoaderName.IMAGES].seconds_per_image


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
    assert stored_bytes(scratch / "data", LoaderName.LATENTS) == sum(tars.values())
    base = sum(size for path, size in tars.items() if "layers" not in path.parts)
    assert stored_bytes(scratch / "data", LoaderName.IMAGES) == base


def test_people_are_told_what_the_storage_has_to_give() -> None:
    row = Row(LoaderName.IMAGES, images_per_second=20.0, ratio=1.0, ratio_by_round=(1.0,))
    lines = LoadBench(SETTING, Table("loading", (row,)), {LoaderName.IMAGES: 2.5e6}).lines(100)
    assert lines[0] == "loading"
    assert lines[-2:] == [
        "  100 images take 5 seconds on this machine",
        "  MB a second of the storage: condset, images 2.5",
    ]


@pytest.mark.slow
def test_the_command_prints_figures_for_machines() -> None:
    arguments = ["--size", "64", "--batch", "2", "--batches", "3", "--samples", "8", "--workers", "2", "--rounds", "1"]
    status, printed, _ = condset("bench", "load", *arguments, "--json")
    assert status == 0
    result = json.loads(printed)
    assert [row["name"] for row in result["rows"]] == list(LoaderName)
    assert result["title"].startswith("image and color of drawn scenes at 64x64, batch 2, 2 workers on ")
    reference = result["rows"][0]["images_per_second"]
    for row in result["rows"]:
        assert row["images_per_second"] == pytest.approx(reference * row["ratio"])
        assert row["bottleneck"] == "decoding"
        assert result["stored_bytes_per_second"][row["name"]] > 0
    assert result["seconds_for_images"] == pytest.approx(600_000 / result["rows"][-1]["images_per_second"])
