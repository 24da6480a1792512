"""What training reads: finished data sets that fit together, joined by key with their layers, checked on the way."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import fsspec
import pytest

from pipeline.dataset.ledger import records
from pipeline.dataset.reader import RECENT_SHARDS
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory
from stages.errors import ConfigError, ManifestError, ShardCorrupt
from stages.records import Condition
from tests.train.conftest import SAMPLES, add_layer, keys, prepare_scenes
from train.data.training_set import Joined, TrainingSet, open_training_sets


def opened(data: Path | str, condition: Condition = Condition.COLOR, use_latents: bool = True) -> TrainingSet:
    return TrainingSet(Directory(str(data)), condition, use_latents)


def read_all(data: TrainingSet) -> dict[str, Mapping[str, bytes]]:
    """Every sample that can be used, in order."""
    return dict(data.read(shard.name, position) for shard in data.shards(0) for position in range(shard.samples))


def stored(data: Path) -> dict[str, dict[str, bytes]]:
    """Every sample of the data set's own shards."""
    home = Directory(str(data))
    return {entry.key: read_sample(home, record, entry) for record in records(home) for entry in record.samples}


def test_every_sample_is_read_as_it_is_stored(color_data: Path) -> None:
    data = opened(color_data)
    assert data.shards(3) == [Joined(3, f"{number:07d}", min(5, SAMPLES - 5 * number)) for number in range(5)]
    samples = read_all(data)
    assert list(samples) == keys()
    assert samples == stored(color_data)
    assert (data.size_pixels, data.image_extension) == ((64, 64), "png")


def test_a_wide_data_set_says_width_before_height(wide_data: Path) -> None:
    data = opened(wide_data)
    assert (data.size_pixels, data.image_extension) == ((128, 64), "jpg")


@pytest.mark.parametrize("condition", [Condition.COLOR, Condition.SEGMENTATION, Condition.KEYPOSE])
def test_each_condition_of_a_data_set_can_be_trained_on(color_data: Path, condition: Condition) -> None:
    _, members = opened(color_data, condition).read("0000000", 0)
    assert f"{condition}.png" in members


def test_a_missing_condition_is_named_with_those_there(color_data: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=rf"^--data {color_data} must have the condition depth, got color, keypose, segmentation; "
        rf"`condset prepare CONFIG --onto {color_data}` adds it$",
    ):
        opened(color_data, Condition.DEPTH)


def test_a_data_set_of_images_alone_lacks_every_condition_until_one_is_added(tmp_path: Path) -> None:
    images = prepare_scenes(tmp_path / "images", annotators=[], source={"kind": "synthetic", "count": 2})
    with pytest.raises(ConfigError, match=rf"^--data {images} must have the condition color, got none; `condset prep"):
        opened(images)
    add_layer(images, {"kind": "color"})
    assert len(read_all(opened(images))) == 2


def set_complete(manifest: Path, complete: bool) -> None:
    fields = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(fields | {"complete": complete}))


def test_an_unfinished_data_set_is_refused(own_data: Path) -> None:
    set_complete(own_data / "dataset.json", False)
    with pytest.raises(
        ManifestError,
        match=rf"^{own_data} must be complete, got one that is still being made; run `condset prepare` again$",
    ):
        opened(own_data)


def test_a_directory_without_a_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ManifestError, match=r"dataset\.json must be a data set's manifest, got none; `condset prepare`"
    ):
        opened(tmp_path)


def test_a_condition_that_was_added_later_is_joined_by_key(own_data: Path) -> None:
    add_layer(own_data, {"kind": "canny"})
    below, samples = stored(own_data), read_all(opened(own_data, Condition.CANNY))
    assert list(samples) == keys()
    layer = Directory(str(own_data / "layers/canny"))
    for record in records(layer):
        for entry in record.samples:
            assert samples[entry.key] == below[entry.key] | read_sample(layer, record, entry)


def test_a_data_set_is_known_by_the_layers_in_use(own_data: Path) -> None:
    add_layer(own_data, {"kind": "canny"})
    base, layer = (json.loads((own_data / name).read_text()) for name in ("dataset.json", "layers/canny/dataset.json"))
    assert opened(own_data).fingerprints == [base["fingerprint"]]
    assert opened(own_data, Condition.CANNY).fingerprints == [base["fingerprint"], layer["fingerprint"]]


@pytest.fixture(scope="module")
def with_persons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes with color, and their persons in a layer that rejects scenes without any."""
    out = tmp_path_factory.mktemp("persons") / "data"
    data = prepare_scenes(out, annotators=[{"kind": "color"}], samples_per_shard=3)
    add_layer(data, {"kind": "keypose", "from": "annotations", "min_persons": 1})
    return data


def test_samples_that_a_layer_lacks_are_left_out(with_persons: Path) -> None:
    layer = Directory(str(with_persons / "layers/keypose"))
    there = [entry.key for record in records(layer) for entry in record.samples]
    per_shard = {record.name: len(record.samples) for record in records(layer)}
    assert 0 < len(there) < SAMPLES
    assert 0 in per_shard.values()  # a shard that has none at all
    data = opened(with_persons, Condition.KEYPOSE)
    samples = read_all(data)
    assert list(samples) == there
    assert all({"png", "json", "keypose.png"} <= members.keys() for members in samples.values())
    assert {shard.name: shard.samples for shard in data.shards(0)} == {
        name: samples for name, samples in per_shard.items() if samples
    }


def test_a_layer_that_is_not_used_leaves_nothing_out(with_persons: Path) -> None:
    samples = read_all(opened(with_persons))
    assert list(samples) == keys()
    assert all("keypose.png" not in members for members in samples.values())


def test_an_unfinished_layer_is_refused_only_where_it_is_used(own_data: Path) -> None:
    add_layer(own_data, {"kind": "canny"})
    set_complete(own_data / "layers/canny/dataset.json", False)
    with pytest.raises(ManifestError, match=r"layers/canny must be complete, got one that is still being made"):
        opened(own_data, Condition.CANNY)
    assert len(read_all(opened(own_data))) == SAMPLES


def test_a_layer_of_another_data_set_is_refused(own_data: Path, with_persons: Path) -> None:
    shutil.copytree(with_persons / "layers", own_data / "layers")
    with pytest.raises(
        ManifestError,
        match=rf"^{own_data}/layers/keypose/dataset\.json must be a layer of {own_data}, got one of another data set; "
        "remove it$",
    ):
        opened(own_data)


def test_a_layer_of_a_shard_that_has_been_made_anew_is_refused(own_data: Path) -> None:
    add_layer(own_data, {"kind": "canny"})
    record = own_data / "records/0000001.json"
    record.write_text(record.read_text() + "\n")
    with pytest.raises(
        ShardCorrupt,
        match=r"layers/canny/records/0000001\.json must belong to the data set's shard [0-9a-f]{12}, got "
        "[0-9a-f]{12}; remove the layer and prepare it again$",
    ):
        opened(own_data, Condition.CANNY).read("0000001", 0)


def test_a_damaged_sample_is_named_with_its_shard_and_its_neighbours_are_read(own_data: Path) -> None:
    tar = own_data / "shards/0000002.tar"
    entry = next(record for record in records(Directory(str(own_data))) if record.name == "0000002").samples[1]
    content = bytearray(tar.read_bytes())
    content[entry.offset + entry.bytes // 2] ^= 1
    tar.write_bytes(content)
    data = opened(own_data)
    for position in (0, 2, 3, 4):
        assert data.read("0000002", position)[0] == keys()[10 + position]
    with pytest.raises(
        ShardCorrupt,
        match=rf"^{tar} sample {keys()[11]} must have crc32 [0-9a-f]{{8}}, got [0-9a-f]{{8}}; prepare the shard again$",
    ):
        data.read("0000002", 1)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("records/0000001.json", r"records/0000001\.json must be a shard's record, got none; "),
        ("shards/0000001.tar", r"must be in the tar, got no tar; "),
    ],
)
def test_a_missing_file_of_a_shard_is_named(own_data: Path, file: str, message: str) -> None:
    (own_data / file).unlink()
    with pytest.raises(ShardCorrupt, match=message):
        opened(own_data).read("0000001", 0)


@pytest.mark.parametrize("use_latents", [True, False])
def test_latents_are_read_if_they_are_there_and_wanted(latents_data: Path, use_latents: bool) -> None:
    data = opened(latents_data, use_latents=use_latents)
    assert (data.latents is not None) == use_latents
    samples = read_all(data)
    assert list(samples) == keys()
    assert all(("latents.npy" in members) == use_latents for members in samples.values())


def test_a_data_set_without_latents_has_none(color_data: Path) -> None:
    assert opened(color_data, use_latents=True).latents is None


def test_data_sets_that_fit_are_joined(color_data: Path, tmp_path: Path) -> None:
    source = {"kind": "synthetic", "count": 7, "first": 100, "width_pixels": 96, "height_pixels": 80}
    other = prepare_scenes(tmp_path / "other", source=source, samples_per_shard=4)
    sets = open_training_sets([str(color_data), str(other)], Condition.COLOR, True)
    assert [sum(shard.samples for shard in data.shards(0)) for data in sets] == [SAMPLES, 7]
    assert list(read_all(sets[1])) == keys(7, first=100)


def test_latents_are_used_only_if_every_data_set_has_them(color_data: Path, latents_data: Path) -> None:
    both = open_training_sets([str(latents_data), str(color_data)], Condition.COLOR, True)
    assert [data.latents for data in both] == [None, None]
    twice = open_training_sets([str(latents_data), str(latents_data)], Condition.COLOR, True)
    assert all(data.latents is not None for data in twice)


def test_data_sets_of_two_sizes_are_refused(color_data: Path, wide_data: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=rf"^--data {wide_data} must have images of 64x64 as {color_data}, got 128x64; prepare it with the same "
        r"image\.size_pixels$",
    ):
        open_training_sets([str(color_data), str(wide_data)], Condition.COLOR, True)


def test_data_sets_whose_condition_was_made_otherwise_are_refused(color_data: Path, tmp_path: Path) -> None:
    keypose = {"kind": "keypose", "from": "annotations", "score_threshold": 0.5}
    other = prepare_scenes(tmp_path / "other", annotators=[{"kind": "color"}, keypose])
    with pytest.raises(
        ConfigError,
        match=rf"^--data {other} must have its keypose made as in {color_data}, got score_threshold 0\.1 and 0\.5; "
        "prepare it with the same settings$",
    ):
        open_training_sets([str(color_data), str(other)], Condition.KEYPOSE, True)
    assert len(open_training_sets([str(color_data), str(other)], Condition.COLOR, True)) == 2


def test_a_data_set_is_read_where_it_lies(color_data: Path, memory: str) -> None:
    fsspec.filesystem("memory").put(str(color_data), memory, recursive=True)
    assert read_all(opened(memory)) == read_all(opened(color_data))


@pytest.fixture
def memory() -> Iterator[str]:
    """An object store in this process."""
    yield "memory://test_data/data"
    fsspec.filesystem("memory").rm("/test_data", recursive=True)


def test_more_shards_than_are_remembered_are_read_in_any_order(tmp_path: Path) -> None:
    count = RECENT_SHARDS + 3
    source = {"kind": "synthetic", "count": count, "width_pixels": 64, "height_pixels": 64}
    data = opened(prepare_scenes(tmp_path / "data", source=source, samples_per_shard=1, annotators=[{"kind": "color"}]))
    names = [shard.name for shard in data.shards(0)]
    assert [data.read(name, 0)[0] for name in reversed(names + names[:5])] == [*reversed(keys(count) + keys(5))]
