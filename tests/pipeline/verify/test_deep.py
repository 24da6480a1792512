"""How conditions are computed again, and how much may differ."""

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.config import PrepareConfig
from pipeline.dataset.ledger import records
from pipeline.dataset.manifest import summarise, write_manifest
from pipeline.dataset.storage import Directory
from pipeline.layer import prepare_layer
from pipeline.run import prepare
from pipeline.verify.dataset import verify
from pipeline.verify.deep import describe_difference
from pipeline.verify.problem import Problem
from stages.errors import ConfigError, WeightsError
from stages.hardware.process import torch_threads
from stages.image.encode import encode_member, encode_png
from stages.records import ArrayMember, UInt8Array
from stages.settings import changed
from stages.weights.store import WeightsStore
from tests.offline import offline
from tests.pipeline.conftest import Make, Run
from tests.pipeline.verify.annotated_scenes import scenes_config, write_scenes
from tests.pipeline.verify.damage import Copy

NO_WEIGHTS = WeightsStore(allow_network=False)


def deep(path: Path, weights: WeightsStore = NO_WEIGHTS, device: str = "cpu") -> tuple[Problem, ...]:
    return verify(Directory(str(path)), True, weights, device).problems


def grey(differing: int, levels: int) -> tuple[bytes, bytes]:
    """Two PNGs of 10,000 grey pixels, of which some differ by so many levels."""
    before = np.full((100, 100), 100, np.uint8)
    after = before.copy()
    after.flat[:differing] += np.uint8(levels)
    return encode_png(before), encode_png(after)


def test_plain_code_must_agree_in_every_pixel() -> None:
    assert describe_difference(*grey(0, 0), exact=True) == ""
    said = describe_difference(*grey(1, 1), exact=True)
    assert said == "1 of 10000 pixels more than 0 levels away, up to 1"


def test_a_network_may_be_one_level_away_everywhere() -> None:
    assert describe_difference(*grey(10_000, 1), exact=False) == ""


def test_a_network_may_be_further_away_in_one_pixel_of_a_thousand() -> None:
    assert describe_difference(*grey(10, 100), exact=False) == ""
    said = describe_difference(*grey(11, 2), exact=False)
    assert said == "11 of 10000 pixels more than 1 levels away, up to 2"


def test_a_pixel_that_differs_in_three_channels_is_one_pixel() -> None:
    before = np.zeros((100, 100, 3), np.uint8)
    after = before.copy()
    after[0, :10] = 255
    assert describe_difference(encode_png(before), encode_png(after), exact=False) == ""


def test_a_picture_of_another_size_does_not_agree() -> None:
    before, after = encode_png(np.zeros((4, 6), np.uint8)), encode_png(np.zeros((4, 6, 3), np.uint8))
    assert describe_difference(before, after, exact=False) == "4x6 instead of 4x6x3"


def person(**at: float) -> bytes:
    """One person with every keypoint at (10, 10), score 0.9, but the first as said."""
    keypoints = np.full((17, 3), 10, np.float32)
    keypoints[:, 2] = 0.9
    keypoints[0] = [at.get("x", 10), at.get("y", 10), at.get("score", 0.9)]
    return encode_member(ArrayMember("keypoints.npy", keypoints.reshape(-1)))


def test_a_networks_keypoint_may_be_half_a_pixel_away() -> None:
    assert describe_difference(person(), person(x=10.5), exact=False) == ""
    assert describe_difference(person(), person(x=10.75), exact=False) == "a keypoint 0.75 pixels or a score 0 away"
    assert describe_difference(person(), person(score=0.5), exact=False).endswith("a score 0.4 away")
    assert describe_difference(person(), person(x=10.5), exact=True) == "1 other numbers, up to 0.5 away"


def test_a_networks_keypoint_that_is_not_drawn_may_lie_anywhere() -> None:
    assert describe_difference(person(score=0.05), person(score=0.06, x=300), exact=False) == ""


@pytest.fixture
def scenes(make_config: Make, run_inline: Run, tmp_path: Path) -> Path:
    """A data set of annotated scenes on disk, which a test may take away."""
    write_scenes(tmp_path / "scenes")
    run_inline(scenes_config(make_config, tmp_path / "scenes"), tmp_path / "data")
    return tmp_path / "data"


def test_label_maps_that_are_gone_are_said_once_and_the_rest_is_compared(scenes: Path) -> None:
    shutil.rmtree(scenes.parent / "scenes")
    what = f"label maps must still be below {scenes.parent / 'scenes'}, got none for 13 samples, first stuffthingmaps/"
    (problem,) = deep(scenes)
    assert (problem.shard, problem.key) == ("", "")
    assert problem.what.startswith(what)
    copy = Copy(scenes, Random(0))
    place = copy.rewrite_member("canny.png", lambda content: encode_png(255 - pixels(content)))
    first, second = deep(scenes)
    assert (first.shard, first.key) == place
    assert second.what == problem.what


def test_a_label_map_that_has_changed_its_size_is_named(scenes: Path) -> None:
    label_map = scenes.parent / "scenes/stuffthingmaps/val2017/6.png"
    Image.open(label_map).crop((0, 0, 64, 64)).save(label_map)
    (problem,) = deep(scenes)
    assert (problem.shard, problem.key) == ("0000001", "000000000006")
    assert problem.what.startswith("label map must be usable as it was, got bad_labels: the label map must have the")


def test_the_process_is_as_before_a_check_and_before_one_that_is_interrupted(scenes: Path) -> None:
    def interrupted(rows: int) -> None:
        assert torch.get_num_threads() == 1
        raise KeyboardInterrupt

    with torch_threads(5):
        assert deep(scenes) == ()
        assert torch.get_num_threads() == 5
        with pytest.raises(KeyboardInterrupt):
            verify(Directory(str(scenes)), True, NO_WEIGHTS, "cpu", interrupted)
        assert torch.get_num_threads() == 5


def test_label_maps_that_no_condition_needs_may_be_gone(make_config: Make, run_inline: Run, tmp_path: Path) -> None:
    write_scenes(tmp_path / "scenes")
    config = scenes_config(make_config, tmp_path / "scenes")
    run_inline(changed(config, annotators=[{"kind": "canny"}]), tmp_path / "data")
    shutil.rmtree(tmp_path / "scenes")
    assert deep(tmp_path / "data") == ()


def test_the_photographs_may_be_gone(scenes: Path) -> None:
    shutil.rmtree(scenes.parent / "scenes/val2017")
    assert deep(scenes) == ()


def test_another_version_of_an_algorithm_is_said_once_and_not_compared(data_set: Path) -> None:
    copy = Copy(data_set, Random(0))
    copy.edit_json("dataset.json", lambda fields: fields["conditions"][0].update(algorithm_version=0))
    said = [problem.what for problem in deep(data_set)]
    assert any(what.startswith("color must be computed by version 0 of its algorithm, got version 1") for what in said)
    assert not any("must follow from the stored image" in what for what in said)


def test_a_layer_is_computed_again_from_the_images_below(make_config: Make, data_set: Path) -> None:
    config = make_config(annotators=[{"kind": "canny"}])
    base = Directory(str(data_set))
    layer, _ = prepare_layer(config, base, offline())
    assert deep(data_set) == ()
    copy = Copy(Path(str(layer)), Random(0))
    record = next(records(copy.directory))
    inverted = [
        replace(each, members=(("canny.png", encode_png(255 - pixels(dict(each.members)["canny.png"]))),))
        for each in copy.encoded(record)
    ]
    copy.commit(record, [*inverted[:1], *copy.encoded(record)[1:]])
    write_manifest(layer, summarise(layer, copy.manifest))
    (problem,) = deep(data_set)
    assert (problem.layer, problem.shard, problem.key) == ("canny", "0000000", record.samples[0].key)
    assert problem.what.startswith("canny.png must follow from the stored image, got 4096 of 4096 pixels")


def pixels(content: bytes) -> UInt8Array:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.fixture(scope="session")
def pidinet(shared: Path) -> WeightsStore:
    return WeightsStore(shared / "weights", allow_network=False)


@pytest.fixture(scope="session")
def make_sketches(make_config: Make, shared: Path, pidinet: WeightsStore) -> Callable[[Path, str], PrepareConfig]:
    """Make sketches of four photographs, two to a shard."""

    def make(out: Path, dtype: str) -> PrepareConfig:
        config = make_config(
            source={"kind": "coco", "root": str(shared / "data/coco17"), "split": "val2017"},
            image={"size_pixels": 128},
            annotators=[{"kind": "sketch", "dtype": dtype}],
            limit=4,
            samples_per_shard=2,
        )
        prepare(config, Directory(str(out)), offline(weights_dir=pidinet.directory))
        return config

    return make


@pytest.fixture(scope="session")
def sketches(make_sketches: Callable[[Path, str], PrepareConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sketches") / "data"
    make_sketches(out, "auto")
    return out


@pytest.mark.weights
def test_sketches_of_photographs_are_sound(sketches: Path, pidinet: WeightsStore) -> None:
    assert deep(sketches, pidinet) == ()


def binarised(sketch_hw: UInt8Array) -> UInt8Array:
    return np.where(sketch_hw > 127, np.uint8(255), np.uint8(0))


def shifted(sketch_hw: UInt8Array) -> UInt8Array:
    return np.roll(sketch_hw, 1, axis=1)


def darker(sketch_hw: UInt8Array) -> UInt8Array:
    return sketch_hw - np.minimum(sketch_hw, 2)


@pytest.mark.weights
@pytest.mark.parametrize("change", [binarised, shifted, darker])
def test_a_sketch_that_does_not_follow_from_its_photograph_is_named(
    change: Callable[[UInt8Array], UInt8Array], sketches: Path, pidinet: WeightsStore, tmp_path: Path
) -> None:
    shutil.copytree(sketches, tmp_path / "data")
    copy = Copy(tmp_path / "data", Random(0))
    record = next(records(copy.directory))
    first, second = copy.encoded(record)
    members = dict(first.members)
    members["sketch.png"] = encode_png(change(pixels(members["sketch.png"])))
    copy.rewrite(record, [replace(first, members=tuple(members.items())), second])
    (problem,) = deep(copy.path, pidinet)
    assert (problem.shard, problem.key) == (record.name, first.key)
    assert problem.what.startswith("sketch.png must follow from the stored image, got ")


@pytest.mark.weights
def test_each_shard_is_computed_in_the_dtype_of_its_own_record(
    make_sketches: Callable[[Path, str], PrepareConfig], sketches: Path, pidinet: WeightsStore, tmp_path: Path
) -> None:
    """A run with dtype "auto" that was resumed on another machine has shards of two dtypes."""
    shutil.copytree(sketches, tmp_path / "data")
    copy = Copy(tmp_path / "data", Random(0))
    first, second = records(copy.directory)
    other = {"float32": "bfloat16", "bfloat16": "float32"}[first.numerics.dtypes["sketch"]]
    make_sketches(tmp_path / "other", other)
    foreign = Copy(tmp_path / "other", Random(0))
    _, resumed = records(foreign.directory)
    copy.rewrite(replace(second, numerics=resumed.numerics), foreign.encoded(resumed))
    assert deep(copy.path, pidinet) == ()
    copy.rewrite(second, foreign.encoded(resumed))
    assert {problem.shard for problem in deep(copy.path, pidinet)} == {second.name}


@pytest.mark.weights
def test_missing_weights_are_an_error_before_anything_is_compared(
    sketches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_CACHE_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.delenv("CONDSET_WEIGHTS", raising=False)
    assert verify(Directory(str(sketches)), False, NO_WEIGHTS, "cpu").problems == ()
    with pytest.raises(WeightsError, match="pidinet"):
        deep(sketches)


@pytest.mark.weights
def test_other_weights_than_the_data_set_was_made_with_are_an_error(
    sketches: Path, pidinet: WeightsStore, tmp_path: Path
) -> None:
    shutil.copytree(sketches, tmp_path / "data")
    copy = Copy(tmp_path / "data", Random(0))
    copy.edit_json("dataset.json", lambda fields: fields["conditions"][0]["models"][0].update(sha256="0" * 64))
    with pytest.raises(
        WeightsError, match=r"weights of pidinet must be those that the data set was made with, sha256 0"
    ):
        deep(copy.path, pidinet)


@pytest.mark.weights
def test_a_dtype_that_the_device_has_not_is_an_error(sketches: Path, pidinet: WeightsStore, tmp_path: Path) -> None:
    shutil.copytree(sketches, tmp_path / "data")
    copy = Copy(tmp_path / "data", Random(0))
    copy.edit_json("dataset.json", lambda fields: fields["numerics"]["dtypes"].update(sketch="float16"))
    with pytest.raises(ConfigError, match=r"--device must be one that computes sketch in float16, .* got cpu; use"):
        deep(copy.path, pidinet)
