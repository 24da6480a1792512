"""Keypose as the pipeline sees it: settings in, members or a rejection out."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torchvision.models.detection import fasterrcnn_resnet50_fpn

from stages.annotators.keypose.annotator import POSE_MODELS, KeyposeConfig
from stages.annotators.keypose.skeleton import draw_skeleton
from stages.annotators.protocol import AnnotatorConfig
from stages.errors import ConfigError, WeightsError
from stages.records import (
    ArrayMember,
    Condition,
    ConditionMembers,
    Crop,
    Float32Array,
    ImageMember,
    IndexRow,
    LoadedSample,
    Reason,
    Rejection,
    StoredSample,
)
from stages.reference.mmpose_networks import batch_norms, build_estimator, deprecations_ignored
from stages.settings import plain
from stages.weights.catalogue import MODELS
from stages.weights.store import WeightsStore

WIDTH, HEIGHT = 96, 64


def person(score: float = 1.0, seed: int = 0) -> Float32Array:
    """Make (1, 17, 3) within the picture, every keypoint of this score."""
    random = np.random.default_rng(seed)
    keypoints = random.uniform((1, 1, 0), (WIDTH, HEIGHT, 1), (1, 17, 3)).astype(np.float32)
    keypoints[..., 2] = score
    return keypoints


def sample(*persons: Float32Array, key: str = "a") -> LoadedSample:
    """Make a sample of a noisy picture with annotated persons."""
    keypoints = np.concatenate([np.zeros((0, 17, 3), np.float32), *persons])
    row = IndexRow(key, "a.jpg", ("a",), "", "", WIDTH, HEIGHT, keypoints, "", {}, None)
    crop = Crop(WIDTH, HEIGHT, (0, 0, WIDTH, HEIGHT), WIDTH, HEIGHT)
    image_hwc = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    image_hwc.setflags(write=False)
    return LoadedSample(StoredSample(row, "a", b"", b"", crop), image_hwc, None, keypoints)


def annotated(config: KeyposeConfig, *samples: LoadedSample) -> list[ConditionMembers | Rejection]:
    return config.build("cpu", WeightsStore(allow_network=False))(samples)


def members(outcome: ConditionMembers | Rejection) -> tuple[Float32Array, ImageMember]:
    """Take the numbers, as (persons, 17, 3), and the picture out of an outcome."""
    assert not isinstance(outcome, Rejection)
    numbers, picture = outcome
    assert isinstance(numbers, ArrayMember)
    assert isinstance(picture, ImageMember)
    assert (numbers.extension, picture.extension) == ("keypoints.npy", "keypose.png")
    assert numbers.values.ndim == 1
    assert numbers.values.dtype.name == "float32"
    return numbers.values.astype(np.float32).reshape(-1, 17, 3), picture


ANNOTATIONS = KeyposeConfig(from_="annotations")


def test_annotated_persons_become_numbers_and_their_picture() -> None:
    persons = np.concatenate([person(seed=1), person(seed=2)])
    (outcome,) = annotated(ANNOTATIONS, sample(persons))
    numbers, picture = members(outcome)
    assert np.array_equal(numbers, persons)
    assert np.array_equal(picture.pixels, draw_skeleton(persons, WIDTH, HEIGHT))


def test_every_sample_of_a_batch_gets_its_own_persons() -> None:
    outcomes = annotated(ANNOTATIONS, sample(person(seed=1)), sample(), sample(person(seed=3), person(seed=4)))
    assert [len(members(outcome)[0]) for outcome in outcomes] == [1, 0, 2]


def test_an_image_without_persons_gets_a_black_picture_and_an_empty_array() -> None:
    (outcome,) = annotated(ANNOTATIONS, sample())
    numbers, picture = members(outcome)
    assert numbers.size == 0
    assert numbers.dtype == np.float32
    assert picture.pixels.shape == (HEIGHT, WIDTH, 3)
    assert not picture.pixels.any()


def test_a_person_without_a_visible_keypoint_is_no_person() -> None:
    hidden, seen = person(score=0.0), person(seed=5)
    (outcome,) = annotated(ANNOTATIONS, sample(hidden, seen))
    assert np.array_equal(members(outcome)[0], seen)


def test_an_image_without_a_person_is_rejected_if_one_is_required() -> None:
    config = KeyposeConfig(from_="annotations", min_persons=1)
    kept, *rejected = annotated(config, sample(person()), sample(key="none"), sample(person(score=0.0), key="hidden"))
    assert len(members(kept)[0]) == 1
    detail = "min_persons wants 1 with a keypoint that scores 0.1 or more, got 0"
    assert rejected == [Rejection(key, Reason.NO_PERSON, detail) for key in ("none", "hidden")]


def test_max_persons_bounds_the_picture_and_not_the_numbers() -> None:
    crowd = np.concatenate([person(seed=seed) for seed in range(30)])
    (outcome,) = annotated(KeyposeConfig(from_="annotations", max_persons=2), sample(crowd))
    numbers, picture = members(outcome)
    assert len(numbers) == 30
    assert np.array_equal(picture.pixels, draw_skeleton(crowd[:2], WIDTH, HEIGHT))


def test_the_keypoint_threshold_is_a_setting() -> None:
    (outcome,) = annotated(KeyposeConfig(from_="annotations", score_threshold=0.6), sample(person(score=0.5)))
    assert members(outcome)[0].size == 0


def random_weights(directory: Path) -> Path:
    """Save weights of RTMO-s that take a good many places in any image for persons."""
    torch.manual_seed(0)
    network = build_estimator(POSE_MODELS["rtmo-s"].config).network
    for layer in batch_norms(network):
        layer.momentum = None
    image_bchw = torch.from_numpy(sample().image_hwc.copy()).permute(2, 0, 1)[None].float()
    with deprecations_ignored(), torch.no_grad():
        network.train()
        network.head(network.extract_feat(torch.nn.functional.interpolate(image_bchw, (640, 640), mode="bilinear")))
        for layer in network.head.head_module.out_bbox:
            layer.weight *= 0.2  # else boxes are exp() of large numbers
    file = directory / "random.pth"
    torch.save(network.state_dict(), file)
    return file


def test_a_network_finds_persons_in_a_batch_as_in_each_image_and_leaves_nothing_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = KeyposeConfig(model="rtmo-s", weights=str(random_weights(tmp_path)), person_threshold=0.6)
    filters = list(warnings.filters)
    annotator = config.build("cpu", WeightsStore(allow_network=False))
    # What is annotated must not matter.
    batch = [members(outcome) for outcome in annotator([sample(), sample(person())])]
    (alone,) = annotator([sample()])
    for numbers, picture in batch:
        assert len(numbers) > 0
        assert np.abs(numbers - members(alone)[0]).max() < 0.5
        assert np.array_equal(picture.pixels, draw_skeleton(numbers, WIDTH, HEIGHT))
    assert capfd.readouterr() == ("", "")
    assert warnings.filters == filters


@pytest.mark.slow
def test_a_top_down_network_and_its_detector_are_loaded_and_run(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pose, detector = tmp_path / "pose.pth", tmp_path / "detector.pth"
    torch.save(build_estimator(POSE_MODELS["rtmpose-m"].config).network.state_dict(), pose)
    faster_rcnn = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    with torch.no_grad():
        faster_rcnn.roi_heads.box_predictor.cls_score.bias[1] += 10
    torch.save(faster_rcnn.state_dict(), detector)
    config = KeyposeConfig(model="rtmpose-m", weights=str(pose), detector_weights=str(detector), score_threshold=1e-6)
    (outcome,) = config.build("cpu", WeightsStore(allow_network=False))([sample()])
    assert len(members(outcome)[0]) > 0


def test_the_class_is_what_the_pipeline_expects_of_an_annotator() -> None:
    config: AnnotatorConfig = KeyposeConfig()
    assert config.condition is Condition.KEYPOSE
    assert config.algorithm_version == 1
    assert config.kind == "keypose"
    assert config.spec.extensions == ("keypoints.npy", "keypose.png")


def test_the_settings_are_read_and_written_as_in_toml() -> None:
    config = KeyposeConfig.model_validate({"kind": "keypose", "from": "annotations", "max_persons": 2})
    assert config.from_ == "annotations"
    written = plain(config)
    assert written["from"] == "annotations"
    assert "from_" not in written
    assert KeyposeConfig.model_validate(written) == config


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"from": "labels"}, "from"),
        ({"model": "openpose"}, "model"),
        ({"score_threshold": 0.0}, "score_threshold"),
        ({"max_persons": 0}, "max_persons"),
        ({"person_threshold": 1.0}, "person_threshold"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=rf"(?m)^{named}$"):
        KeyposeConfig.model_validate(settings)


def test_annotations_need_no_model() -> None:
    assert ANNOTATIONS.models == ()
    assert ANNOTATIONS.resolved_dtype("cpu") == "none"


def test_a_one_stage_network_needs_one_file_and_a_top_down_network_a_detector_too() -> None:
    assert KeyposeConfig(model="rtmo-m", weights="own.pth").models == (("rtmo_m", "own.pth"),)
    config = KeyposeConfig(model="hrnet-w48", detector_weights="own.pth")
    assert config.models == (("hrnet_w48", None), ("faster_rcnn", "own.pth"))


def test_every_model_is_in_the_table_of_weights() -> None:
    needed = {name for model in POSE_MODELS for name, _ in KeyposeConfig(model=model).models}
    assert needed <= set(MODELS)


def test_keypoints_are_found_in_float32_unless_told_otherwise() -> None:
    assert KeyposeConfig().resolved_dtype("cuda") == "float32"
    assert KeyposeConfig(dtype="bfloat16").resolved_dtype("cpu") == "bfloat16"
    with pytest.raises(ConfigError, match="dtype must be float32 or bfloat16 on a CPU"):
        KeyposeConfig(dtype="float16").resolved_dtype("cpu")


def test_missing_weights_are_one_error_that_names_the_model() -> None:
    with pytest.raises(WeightsError, match="rtmo_m"):
        KeyposeConfig().build("cpu", WeightsStore(allow_network=False))
