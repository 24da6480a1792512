"""Canny against cv2 called plainly and against controlnet_aux's detector, on real photographs."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from stages.annotators.canny import CannyConfig, canny_map
from stages.annotators.protocol import AnnotatorConfig
from stages.records import Crop, ImageMember, IndexRow, LoadedSample, Reason, Rejection, StoredSample, UInt8Array
from stages.reference.aux_modules import controlnet_aux_module
from stages.weights.store import WeightsStore


def photographs(shared: Path) -> list[UInt8Array]:
    """Five photographs of their own sizes, RGB."""
    return [np.array(Image.open(path)) for path in sorted((shared / "data/coco17/val2017").glob("*.jpg"))[:5]]


def loaded(image_hwc: UInt8Array) -> LoadedSample:
    height, width = image_hwc.shape[:2]
    row = IndexRow("key", "", ("",), "", "", width, height, np.zeros((0, 17, 3), np.float32), "", {}, None)
    stored = StoredSample(row, "", b"", b"", Crop(width, height, (0, 0, width, height), width, height))
    return LoadedSample(stored, image_hwc, None, row.keypoints)


def test_the_picture_is_what_cv2_finds_in_the_colour_photograph(shared: Path) -> None:
    for image_hwc in photographs(shared):
        edges_hw = canny_map(image_hwc, 100, 200)
        assert np.array_equal(edges_hw, cv2.Canny(image_hwc, 100, 200))
        assert set(np.unique(edges_hw)) == {0, 255}


def test_the_picture_is_that_of_controlnet_aux(shared: Path) -> None:
    detector = controlnet_aux_module("canny").CannyDetector()
    for image_hwc in photographs(shared):
        # Sides that are multiples of 64, which the detector does not resize.
        image_hwc = np.ascontiguousarray(image_hwc[:256, :320])
        expected_hwc = detector(image_hwc, detect_resolution=256, image_resolution=256)
        assert np.array_equal(canny_map(image_hwc, 100, 200), expected_hwc[..., 0])


def test_colours_of_equal_brightness_have_an_edge_between_them() -> None:
    image_hwc = np.zeros((64, 64, 3), np.uint8)
    image_hwc[:, :32, 0], image_hwc[:, 32:, 1] = 200, 102
    assert np.ptp(cv2.cvtColor(image_hwc, cv2.COLOR_RGB2GRAY)) == 0
    assert canny_map(image_hwc, 100, 200).any()


def test_the_annotator_uses_the_thresholds_of_its_table(shared: Path) -> None:
    image_hwc = photographs(shared)[0]
    annotate = CannyConfig(low_threshold=20, high_threshold=60).build("cpu", WeightsStore())
    members, *others = annotate([loaded(image_hwc)])
    assert not others
    assert isinstance(members, tuple)
    (member,) = members
    assert isinstance(member, ImageMember)
    assert member.extension == "canny.png"
    assert np.array_equal(member.pixels, cv2.Canny(image_hwc, 20, 60))


def test_it_has_one_member_no_model_and_no_dtype() -> None:
    config: AnnotatorConfig = CannyConfig()
    assert (config.spec.extensions, config.models, config.resolved_dtype("cpu")) == (("canny.png",), (), "none")


@pytest.mark.parametrize("low", [200, 201])
def test_a_low_threshold_that_is_not_below_the_high_one_is_refused(low: int) -> None:
    message = f"canny low_threshold must be below high_threshold, 200, got {low}; lower it"
    with pytest.raises(ValidationError, match=message):
        CannyConfig(low_threshold=low)


def test_a_photograph_with_fewer_edges_than_asked_for_is_rejected_and_others_are_not(shared: Path) -> None:
    blank, busy = np.full((64, 64, 3), 200, np.uint8), photographs(shared)[0]
    annotate = CannyConfig(min_edges=0.01).build("cpu", WeightsStore())
    rejected, members = annotate([loaded(blank), loaded(busy)])
    assert rejected == Rejection("key", Reason.NO_EDGES, "min_edges wants 0.01 of the pixels to be edges, got 0")
    assert isinstance(members, tuple)
    assert all(isinstance(each, tuple) for each in CannyConfig().build("cpu", WeightsStore())([loaded(blank)]))
