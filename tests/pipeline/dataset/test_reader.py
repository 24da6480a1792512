"""The one reader: the same samples by number, by key, in order, in another process, from another place."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pipeline.dataset.manifest import read_manifest, write_manifest
from pipeline.dataset.reader import Dataset, open_dataset
from pipeline.dataset.record import read_record
from pipeline.dataset.storage import Directory
from pipeline.layer import prepare_layer
from stages.annotators.canny import canny_map
from stages.errors import ConfigError, ManifestError, ShardCorrupt
from tests.offline import offline
from tests.pipeline.conftest import Make, Run

KEYS = [f"{number:09d}" for number in range(12)]


def add_layer(directory: Path, config: object, make_config: Make) -> None:
    prepare_layer(make_config(annotators=[config]), Directory(str(directory)), offline())


@pytest.fixture(scope="module")
def made(make_config: Make, run_inline: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes in three shards with color, and canny and segmentation as layers."""
    directory = tmp_path_factory.mktemp("made") / "data"
    run_inline(make_config(), directory)
    add_layer(directory, {"kind": "canny"}, make_config)
    add_layer(directory, {"kind": "segmentation"}, make_config)
    return directory


@pytest.fixture(params=["path", "memory"])
def data(request: pytest.FixtureRequest, made: Path) -> Iterator[Dataset]:
    """The data set from a path, and from an object store."""
    if request.param == "path":
        yield open_dataset(str(made))
        return
    files = fsspec.filesystem("memory")
    files.put(str(made), "/reader", recursive=True)
    yield open_dataset("memory://reader")
    files.rm("/reader", recursive=True)


def test_a_sample_is_the_same_by_number_by_key_and_in_order(data: Dataset) -> None:
    assert len(data) == 12
    assert [sample.key for sample in data] == KEYS
    for number, key in enumerate(KEYS):
        assert data[number] == data[key] == data[number - 12]
    assert [sample.key for sample in data[3:9:2]] == KEYS[3:9:2]


def test_layers_are_joined_by_key(data: Dataset) -> None:
    assert [layer.name for layer in data.layers] == ["canny", "segmentation"]
    sample = data["000000007"]
    assert sample.shard == "0000001"
    assert sample.conditions == ("color", "canny", "segmentation")
    np.testing.assert_array_equal(sample.condition("canny"), canny_map(sample.image(), 100, 200))


def test_only_the_layers_that_are_asked_for_are_read(made: Path) -> None:
    data = open_dataset(str(made), layers=["canny"])
    assert data[0].conditions == ("color", "canny")
    assert open_dataset(str(made), layers=[])[0].conditions == ("color",)


def test_a_sample_says_what_the_source_said(data: Dataset) -> None:
    sample = data[2]
    assert sample.caption in sample.captions
    assert (sample.crop.stored_width, sample.crop.stored_height) == (64, 64)
    assert sample.image().shape == (64, 64, 3)
    assert sample.condition("segmentation").shape == (64, 64)
    assert sample.picture("segmentation").shape == (64, 64, 3)
    assert (sample.license, sample.source_url, sample.scores) == (sample.description["license"], "", {})


def test_a_layer_is_no_data_set(made: Path) -> None:
    with pytest.raises(ManifestError, match=r"layers/canny must be a data set, got a layer of one; name the data set"):
        open_dataset(made / "layers/canny")


def test_a_sample_is_shown_without_its_files(made: Path) -> None:
    assert repr(open_dataset(made)[3]) == "Sample(key='000000003', shard='0000000', image_format='jpg')"


def test_what_is_not_there_is_said(data: Dataset) -> None:
    with pytest.raises(IndexError, match="has samples 0 to 11, got 12"):
        data[12]
    with pytest.raises(KeyError, match="has no sample with the key 000000012"):
        data["000000012"]
    assert "000000012" not in data
    assert "000000011" in data
    with pytest.raises(KeyError, match="has the conditions color, canny, segmentation; it has no depth"):
        data[0].condition("depth")


def test_it_can_be_pickled_into_the_workers_of_a_data_loader(data: Dataset) -> None:
    assert [sample.key for sample in pickle.loads(pickle.dumps(data))] == KEYS


def test_a_data_loader_of_torch_takes_it_in_two_lines(made: Path) -> None:
    data = open_dataset(str(made))
    view: Any = data.torch("canny")  # torch takes whatever has a length and items, its types do not
    batches = list(DataLoader(view, batch_size=4, num_workers=2))
    assert [batch["image"].shape for batch in batches] == [(4, 3, 64, 64)] * 3
    assert [batch["condition"].shape for batch in batches] == [(4, 1, 64, 64)] * 3
    assert torch.equal(batches[1]["condition"][3, 0] * 255, torch.from_numpy(data[7].condition("canny").copy()).float())
    assert batches[0]["caption"] == [sample.caption for sample in data[:4]]


def test_a_condition_without_a_picture_is_none_for_torch(made: Path) -> None:
    with pytest.raises(ConfigError, match=r"has pictures of, color, canny, segmentation, got depth"):
        open_dataset(str(made)).torch("depth")


def test_samples_that_a_layer_rejected_are_left_out_where_whole_ones_are_wanted(
    make_config: Make, run_inline: Run, tmp_path: Path
) -> None:
    source = {"kind": "synthetic", "count": 12, "width_pixels": 96, "height_pixels": 80}
    run_inline(make_config(source=source), tmp_path / "data")
    add_layer(tmp_path / "data", {"kind": "keypose", "from": "annotations", "min_persons": 1}, make_config)
    every, whole = open_dataset(str(tmp_path / "data")), open_dataset(str(tmp_path / "data"), whole=True)
    with_persons = [sample.key for sample in every if "keypose" in sample.conditions]
    assert 0 < len(with_persons) < 12
    assert [sample.key for sample in whole] == with_persons
    assert [key for shard in whole.shards for key in whole.keys(shard)] == with_persons
    assert len(whole) == len(with_persons)


def test_an_unfinished_data_set_and_a_layer_of_another_are_refused(made: Path, tmp_path: Path) -> None:
    files = fsspec.filesystem("file")
    files.copy(str(made), str(tmp_path / "copy"), recursive=True)
    copy = Directory(str(tmp_path / "copy"))
    layer = copy / "layers" / "canny"
    manifest = read_manifest(layer)
    object.__setattr__(manifest, "inputs", manifest.inputs | {"base": "0123"})
    write_manifest(layer, manifest)
    with pytest.raises(ManifestError, match=r"canny/dataset\.json must be a layer of .*copy, got one of another"):
        open_dataset(copy)
    manifest = read_manifest(copy)
    object.__setattr__(manifest, "complete", False)
    write_manifest(copy, manifest)
    with pytest.raises(ManifestError, match="must be complete, got one that is still being made"):
        open_dataset(copy)


def test_a_record_that_is_missing_or_of_another_base_is_said(made: Path, tmp_path: Path) -> None:
    fsspec.filesystem("file").copy(str(made), str(tmp_path / "copy"), recursive=True)
    copy = Directory(str(tmp_path / "copy"))
    record = read_record(copy, "0000001").to_json()
    copy.write("records/0000001.json", record + b" ")
    with pytest.raises(ShardCorrupt, match=r"canny/records/0000001\.json must belong to the data set's shard"):
        open_dataset(copy)[6]
    copy.remove("records/0000001.json")
    with pytest.raises(ShardCorrupt, match=r"copy/records/0000001\.json must be a shard's record, got none"):
        open_dataset(copy)[6]
