"""Layers are verified with the data set that they belong to."""

import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from pipeline.dataset.ledger import records
from pipeline.dataset.storage import Directory
from pipeline.verify.dataset import VerifyReport, verify
from stages.weights.store import WeightsStore
from tests.pipeline.conftest import Make
from tests.pipeline.verify.annotated_scenes import make_layered
from tests.pipeline.verify.damage import Copy

NO_WEIGHTS = WeightsStore(allow_network=False)


def check(path: Path, deep: bool = False) -> VerifyReport:
    return verify(Directory(str(path)), deep, NO_WEIGHTS, "cpu")


@pytest.fixture(scope="module")
def sound(make_config: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotated scenes, three of which are rejected, one of them alone in its shard; with a layer of color."""
    return make_layered(make_config, tmp_path_factory.mktemp("layered"))


@pytest.fixture
def layered(sound: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(sound, tmp_path / "data")
    return tmp_path / "data"


def test_a_defect_of_a_layer_is_named_with_the_layer(layered: Path) -> None:
    copy = Copy(layered, Random(0))
    copy.flip("layers/color/shards/0000001.tar", 600)
    (problem,) = check(layered).problems
    assert str(problem).startswith("layer color shard 0000001 key 000000000005: 0000001.tar sample must have crc32")


def test_a_layer_whose_base_was_made_again_otherwise_is_named(layered: Path) -> None:
    record = next(records(Directory(str(layered))))
    copy = Copy(layered, Random(0))
    copy.put_record(replace(record, numerics=replace(record.numerics, batch_size=2)))
    copy.derive()
    (problem,) = check(layered).problems
    assert (problem.layer, problem.shard) == ("color", "0000000")
    assert problem.what.startswith(
        "records/0000000.json must be bound to the record below it, got another base_sha256;"
    )


def test_a_layer_that_lacks_a_sample_is_named_with_its_key(layered: Path) -> None:
    layer = Directory(str(layered / "layers/color"))
    record = next(records(layer))
    lost, *kept = record.samples
    layer.write("records/0000000.json", replace(record, samples=tuple(kept)).to_json())
    (problem,) = check(layered).problems
    assert (problem.layer, problem.shard, problem.key) == ("color", "0000000", lost.key)


def test_a_layer_without_a_readable_manifest_is_a_problem_of_the_layer(layered: Path) -> None:
    (layered / "layers/color/dataset.json").write_text("{")
    (problem,) = check(layered).problems
    assert str(problem).startswith("layer color: ")
    assert "dataset.json must be JSON" in problem.what


def test_a_stale_file_of_a_layer_is_named(layered: Path) -> None:
    (layered / "layers/color/shards.jsonl").write_text("")
    (problem,) = check(layered).problems
    assert str(problem).startswith("layer color: shards.jsonl must follow from the records, got other lines from shard")


def test_a_layer_of_other_images_is_named(layered: Path) -> None:
    Copy(layered, Random(0)).edit_json(
        "layers/color/dataset.json", lambda fields: fields["config"]["image"].update(quality=80)
    )
    (problem,) = check(layered).problems
    assert str(problem).startswith("layer color: dataset.json config image.quality must be 95, got 80;")


def test_where_the_data_set_is_damaged_its_layer_is_not_blamed(layered: Path) -> None:
    (layered / "shards/0000001.tar").unlink()
    (problem,) = check(layered, deep=True).problems
    assert (problem.layer, problem.shard) == ("", "0000001")
