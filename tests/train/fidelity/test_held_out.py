"""Which samples are measured: those that have every condition, wherever it lies, in one order."""

import pickle
from pathlib import Path

import pytest

from pipeline.dataset.storage import Directory
from stages.errors import ConfigError
from stages.records import Condition
from tests.train.conftest import SAMPLES, add_layer, keys, prepare_scenes
from train.data.training_set import TrainingSet
from train.fidelity.held_out import HeldOutConfig


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 scenes with color, canny as a layer of all of them, and keypose as a layer of those with a person."""
    data = prepare_scenes(tmp_path_factory.mktemp("layered") / "data", annotators=[{"kind": "color"}])
    add_layer(data, {"kind": "canny"})
    add_layer(data, {"kind": "keypose", "from": "annotations", "min_persons": 1})
    return data


def test_the_first_samples_are_taken_or_all_that_there_are(color_data: Path) -> None:
    assert list(HeldOutConfig(str(color_data), (Condition.COLOR,), 7).open().keys) == keys(7)
    assert list(HeldOutConfig(str(color_data), (Condition.COLOR,), 99).open().keys) == keys(SAMPLES)


def test_a_sample_has_the_members_of_every_layer(layered: Path) -> None:
    held_out = HeldOutConfig(str(layered), (Condition.COLOR, Condition.CANNY), 7).open()
    assert list(held_out.keys) == keys(7)
    assert {"color.png", "canny.png", "txt"} <= held_out.members(6).keys()
    data = TrainingSet(Directory(str(layered)), Condition.CANNY, use_latents=False)
    assert held_out.members(6) == HeldOutConfig(str(layered), (Condition.COLOR,), 7).open().members(6) | {
        "canny.png": data.read("0000001", 1)[1]["canny.png"]
    }


def test_samples_that_lack_a_condition_are_passed_over_in_any_order_of_the_conditions(layered: Path) -> None:
    orders = [(Condition.COLOR, Condition.KEYPOSE), (Condition.KEYPOSE, Condition.CANNY)]
    opened = [HeldOutConfig(str(layered), order, 5).open() for order in orders]
    data = TrainingSet(Directory(str(layered)), Condition.KEYPOSE, use_latents=False)
    persons = [data.read(shard.name, n)[0] for shard in data.shards(0) for n in range(shard.samples)]
    assert len(persons) < SAMPLES
    assert list(opened[0].keys) == list(opened[1].keys) == persons[:5]
    for sample in range(5):
        assert opened[0].members(sample)["keypose.png"] == opened[1].members(sample)["keypose.png"]


def test_pictures_are_numbered_where_a_caption_has_several(color_data: Path) -> None:
    held_out = HeldOutConfig(str(color_data), (Condition.COLOR,), 3, pictures_per_caption=4).open()
    assert (held_out.samples, held_out.pictures) == (3, 12)
    assert held_out.picture_key(6) == "000000001-2"
    assert (held_out.sample_of(6), list(held_out.pictures_of(1))) == (1, [4, 5, 6, 7])
    assert HeldOutConfig(str(color_data), (Condition.COLOR,), 3).open().picture_key(2) == "000000002"


def test_what_travels_to_the_workers_is_small(color_data: Path) -> None:
    config = HeldOutConfig(str(color_data), (Condition.COLOR, Condition.SEGMENTATION), 5000)
    assert len(pickle.dumps(config)) < 1000
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_condition_that_is_not_there_is_named(own_data: Path) -> None:
    with pytest.raises(ConfigError, match="must have the condition canny, got color, keypose, segmentation"):
        HeldOutConfig(str(own_data), (Condition.COLOR, Condition.CANNY), 5).open()
