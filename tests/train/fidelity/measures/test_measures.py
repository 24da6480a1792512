"""From the members of two samples to their scores."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipeline.dataset.storage import Directory
from stages.errors import ConfigError, WeightsError
from stages.file_hash import file_sha256
from stages.records import Condition
from stages.weights.catalogue import MODELS
from stages.weights.store import WeightsStore
from tests.train.fidelity.tiny_networks import tiny_maskformer
from train.data.conditions import ConditionsConfig
from train.data.training_set import TrainingSet
from train.fidelity.measures.measures import MEASURES, MeasuredData, Members, fidelity_of
from train.fidelity.measures.panoptic_classes import CLASSES

CONDITIONS = [condition for condition in Condition if condition is not Condition.LATENTS]


def fidelity(condition: str, source: str = "synthetic", **conditions: object) -> Any:
    """Of a data set of this condition that lies nowhere."""
    settings = {"kind": condition} | ({"from": "annotations"} if condition == "keypose" else {})
    data = MeasuredData("data", Condition(condition), settings, source, {}, "png")
    return fidelity_of(data, ConditionsConfig.model_validate(conditions), WeightsStore(), "cpu")


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
    chosen = fidelity_of(MeasuredData.of(data), ConditionsConfig(), WeightsStore(), "cpu")
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
    assert chosen.annotator == {"kind": "keypose", "from": "model", "min_persons": 0}
    person = np.random.default_rng(0).uniform(1, 60, (1, 17, 3)).astype(np.float32)
    assert chosen.score(persons(person), persons(person)) == (1.0, 1.0)
    assert chosen.score(persons(person), persons(person[:0])) == (0.0, 0.0)
    assert chosen.score(persons(person[:0]), persons(person)) is None


def segmentation_of_photographs(labels: dict[str, str], weights: WeightsStore, labeller_config: Any = None) -> Any:
    settings = {"kind": "segmentation"}
    data = MeasuredData("data", Condition.SEGMENTATION, settings, "coco_stuff", labels, "png")
    return fidelity_of(data, ConditionsConfig(), weights, "cpu", labeller_config)


def test_segmentation_of_photographs_needs_the_weights_of_its_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONDSET_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(WeightsError) as refused:
        segmentation_of_photographs({"1": "person"}, WeightsStore(tmp_path, allow_network=False))
    assert str(refused.value).startswith(
        f"weights of maskformer_swin_b must be in a file {MODELS['maskformer_swin_b'].file}, got none in {tmp_path}"
    )


@pytest.mark.parametrize(("labels", "got"), [({}, "no names"), ({"1": "sky line", "2": "lawn"}, "sky line, lawn")])
def test_segmentation_of_photographs_with_other_labels_is_refused(labels: dict[str, str], got: str) -> None:
    with pytest.raises(ConfigError) as refused:
        segmentation_of_photographs(labels, WeightsStore(allow_network=False))
    assert str(refused.value) == (
        f"--data data must name its labels as COCO-Stuff does to measure segmentation, got {got}; take a data set of "
        "COCO-Stuff or of drawn scenes"
    )


def test_photographs_are_labelled_by_the_network_of_the_registry(tmp_path: Path) -> None:
    """A tiny one with random weights: its own labels are the truth."""
    import torch
    from transformers import MaskFormerImageProcessor

    from train.fidelity.measures.panoptic import MODEL, Labeller

    network, file = tiny_maskformer(), tmp_path / MODELS[MODEL].file
    file.parent.mkdir()
    torch.save(network.state_dict(), file)
    models = {MODEL: replace(MODELS[MODEL], sha256=file_sha256(file))}
    photograph = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    labels_hw = Labeller(network, MaskFormerImageProcessor()).label(photograph)
    numbers = [*np.unique(labels_hw)]
    names = {str(1 + place): CLASSES[number] for place, number in enumerate(numbers)}
    truth_hw = (1 + np.searchsorted(numbers, labels_hw)).astype(np.uint8)
    store = WeightsStore(tmp_path, allow_network=False, models=models)
    chosen = segmentation_of_photographs(names, store, network.config)
    found = picture("png", photograph)
    assert chosen.score(picture("segmentation.png", truth_hw), found) == (1.0,)
    assert chosen.score(picture("segmentation.png", np.zeros_like(truth_hw)), found) is None
