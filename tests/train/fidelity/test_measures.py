"""From the members of two samples to their scores."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipeline.storage import Directory
from stages.errors import ConfigError
from stages.records import Condition
from train.conditions import ConditionsConfig
from train.data import TrainingSet
from train.fidelity.measures import MEASURES, Members, fidelity_of

CONDITIONS = [condition for condition in Condition if condition is not Condition.LATENTS]


def fidelity(condition: str, source: str = "synthetic", **conditions: object) -> Any:
    """Of a data set of this condition that lies nowhere."""
    data = SimpleNamespace(
        directory="data",
        condition=SimpleNamespace(name=condition),
        settings={"kind": condition, "from": "annotations"} if condition == "keypose" else {"kind": condition},
        manifest=SimpleNamespace(config={"source": {"kind": source}}),
        image_extension="png",
    )
    return fidelity_of(cast(TrainingSet, data), ConditionsConfig.model_validate(conditions))


def picture(name: str, pixels: npt.NDArray[Any]) -> Members:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return {name: content.getvalue()}


def persons(values: npt.NDArray[np.float32]) -> Members:
    content = io.BytesIO()
    np.save(content, values.reshape(-1))
    return {"keypoints.npy": content.getvalue()}


def test_every_condition_has_measures() -> None:
    assert set(MEASURES) == set(CONDITIONS)


@pytest.mark.parametrize("condition", [Condition.COLOR, Condition.SEGMENTATION])
def test_a_stored_sample_is_like_itself(condition: Condition, color_data: Path) -> None:
    data = TrainingSet(Directory(str(color_data)), condition, use_latents=False)
    _, members = data.read(data.shards(0)[0].name, 0)
    chosen = fidelity_of(data, ConditionsConfig())
    (score,) = chosen.score(members, members) or ()
    assert abs(score - chosen.measures[0].ideal) < 0.15  # 64 pixels are a coarse place for a label map


@pytest.mark.parametrize("array_type", [np.uint8, np.uint16])
def test_depth_gives_its_error_and_its_correlation(array_type: npt.DTypeLike) -> None:
    ramp = np.linspace(0, np.iinfo(cast(Any, array_type)).max, 64).astype(array_type).reshape(8, 8)
    chosen = fidelity("depth")
    assert [measure.ideal for measure in chosen.measures] == [0, 1]
    same = chosen.score(picture("depth.png", ramp), picture("depth.png", ramp))
    assert same == pytest.approx((0, 1), abs=1e-9)
    flipped = chosen.score(picture("depth.png", ramp), picture("depth.png", ramp[::-1, ::-1].copy()))
    assert flipped[0] > 0.2
    assert flipped[1] == pytest.approx(-1)


def test_a_sketch_is_cut_at_the_threshold_of_the_training() -> None:
    soft = np.zeros((16, 16), np.uint8)
    soft[:, 8] = 100
    members, nothing = picture("sketch.png", soft), picture("sketch.png", np.zeros_like(soft))
    assert fidelity("sketch").score(members, nothing) == (1.0,)
    assert fidelity("sketch", sketch_threshold=0.3).score(members, nothing) == (0.0,)


def test_a_keypose_from_annotations_is_extracted_by_the_pose_network() -> None:
    chosen = fidelity("keypose")
    assert chosen.annotator == {"kind": "keypose", "from": "model", "require_person": False}
    person = np.random.default_rng(0).uniform(1, 60, (1, 17, 3)).astype(np.float32)
    assert chosen.score(persons(person), persons(person)) == (1.0, 1.0)
    assert chosen.score(persons(person), persons(person[:0])) == (0.0, 0.0)
    assert chosen.score(persons(person[:0]), persons(person)) is None


def test_segmentation_of_photographs_is_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        fidelity("segmentation", source="coco_stuff")
    assert str(refused.value) == (
        "--data data must be of the synthetic source to measure segmentation, got coco_stuff; there is no network yet "
        "that labels other pictures"
    )
