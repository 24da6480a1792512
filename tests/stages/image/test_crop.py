"""Pixels, labels and keypoints of a sample stay on one another through every fit."""

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from stages.image.crop import ImageConfig, apply_crop, carry_keypoints, crop_labels, plan_crop
from stages.records import Crop, Float32Array, UInt8Array

FITS = ["center_crop", "squash", "random_crop"]
SIZES = [(300, 200), (200, 300), (1000, 410), (150, 150), (70, 65), (333, 777)]


def _config(size_pixels: object = 128, fit: str = "center_crop") -> ImageConfig:
    return ImageConfig.model_validate({"size_pixels": size_pixels, "fit": fit})


def _plan(width: int, height: int, config: ImageConfig, seed: int = 0) -> Crop:
    return plan_crop(width, height, config, np.random.default_rng(seed))


def _noise(width: int, height: int) -> UInt8Array:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)


def _keypoints(*points: tuple[float, float, float]) -> Float32Array:
    keypoints = np.zeros((1, 17, 3), np.float32)
    keypoints[0, : len(points)] = points
    return keypoints


@pytest.mark.parametrize(("given", "size"), [(512, (512, 512)), ([768, 512], (768, 512)), ((64, 128), (64, 128))])
def test_a_size_is_an_integer_or_width_and_height(given: object, size: tuple[int, int]) -> None:
    assert _config(given).size_pixels == size
    assert ImageConfig.model_validate_json(_config(given).model_dump_json()).size_pixels == size


@pytest.mark.parametrize("given", [500, 0, -64, True, 512.0, "512", [512], [512, 500], [512, 512, 3], None])
def test_a_size_that_no_network_takes_is_refused_with_what_was_got(given: object) -> None:
    with pytest.raises(ValidationError, match=r"size_pixels must be .* multiples of 64, got") as caught:
        _config(given)
    assert f"got {given!r}; use for example 512 or [768, 512]" in str(caught.value)


def test_a_maximum_aspect_ratio_below_one_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"max_aspect_ratio must be 1 or more .* got 0.5; use 0 for none"):
        ImageConfig(max_aspect_ratio=0.5)


@pytest.mark.parametrize(
    ("original", "stored", "box"),
    [
        ((640, 480), 512, (80, 0, 560, 480)),
        ((480, 640), 512, (0, 80, 480, 560)),
        ((641, 480), 512, (80, 0, 560, 480)),
        ((640, 480), [768, 512], (0, 26, 640, 26 + 640 * 2 / 3)),
        ((1, 1), [128, 64], (0, 0, 1, 0.5)),
        ((65500, 1), 64, (32749, 0, 32750, 1)),
    ],
)
def test_center_crop_takes_the_largest_box_in_the_middle(
    original: tuple[int, int], stored: object, box: tuple[float, float, float, float]
) -> None:
    crop = _plan(*original, _config(stored))
    assert crop.box == pytest.approx(box)
    assert (crop.original_width, crop.original_height) == original
    assert (crop.stored_width, crop.stored_height) == _config(stored).size_pixels


def test_squash_takes_the_whole_image() -> None:
    assert _plan(640, 480, _config(512, "squash")).box == (0, 0, 640, 480)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stored", [128, [192, 64], [64, 192]])
def test_random_crop_moves_the_box_of_center_crop_inside_the_image(size: tuple[int, int], stored: object) -> None:
    left, top, right, bottom = _plan(*size, _config(stored)).box
    for seed in range(50):
        box = _plan(*size, _config(stored, "random_crop"), seed).box
        assert (box[2] - box[0], box[3] - box[1]) == pytest.approx((right - left, bottom - top))
        assert 0 <= box[0] < box[2] <= size[0]
        assert 0 <= box[1] < box[3] <= size[1]


def test_random_crop_is_equally_likely_at_every_place() -> None:
    rng = np.random.default_rng(0)
    places = [plan_crop(67, 64, _config(64, "random_crop"), rng).box[0] for _ in range(4000)]
    values, counts = np.unique(places, return_counts=True)
    assert values.tolist() == [0, 1, 2, 3]
    assert counts.min() > 900


def test_equal_generators_give_equal_crops() -> None:
    config = _config(64, "random_crop")
    assert _plan(500, 400, config, seed=3) == _plan(500, 400, config, seed=3)
    assert _plan(500, 400, config, seed=3) != _plan(500, 400, config, seed=4)


@pytest.mark.parametrize("fit", FITS)
def test_an_image_of_the_stored_size_is_passed_through(fit: str) -> None:
    image_hwc = _noise(128, 64)
    crop = _plan(128, 64, _config([128, 64], fit))
    np.testing.assert_array_equal(apply_crop(image_hwc, crop), image_hwc)
    np.testing.assert_array_equal(crop_labels(image_hwc[..., 0], crop), image_hwc[..., 0])


@pytest.mark.parametrize("fit", ["center_crop", "random_crop"])
def test_a_crop_without_scaling_copies_its_pixels(fit: str) -> None:
    image_hwc = _noise(201, 128)
    crop = _plan(201, 128, _config(128, fit))
    left = int(crop.box[0])
    np.testing.assert_array_equal(apply_crop(image_hwc, crop), image_hwc[:, left : left + 128])


def test_a_crop_equals_pillows_resize_of_the_whole_and_crop() -> None:
    image_hwc = _noise(512, 256)
    whole = Image.fromarray(image_hwc).resize((256, 128), Image.Resampling.BICUBIC)
    expected = np.asarray(whole.crop((64, 0, 192, 128)))
    np.testing.assert_array_equal(apply_crop(image_hwc, _plan(512, 256, _config(128))), expected)


def test_reduction_is_antialiased() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    reduced = apply_crop(stripes, _plan(512, 512, _config(64)))
    assert 126 <= reduced[:, 4:-4].min() <= reduced[:, 4:-4].max() <= 129


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", FITS)
def test_labels_are_the_ids_under_the_stored_pixels_centres(fit: str, size: tuple[int, int]) -> None:
    labels_hw = _noise(*size)[..., 0]
    crop = _plan(*size, _config([192, 128], fit))
    left, top, right, bottom = crop.box
    columns = np.floor(left + (np.arange(192) + 0.5) * (right - left) / 192).astype(int)
    rows = np.floor(top + (np.arange(128) + 0.5) * (bottom - top) / 128).astype(int)
    np.testing.assert_array_equal(crop_labels(labels_hw, crop), labels_hw[np.ix_(rows, columns)])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", FITS)
def test_keypoints_land_on_the_feature_that_they_marked(fit: str, size: tuple[int, int]) -> None:
    width, height = size
    crop = _plan(width, height, _config([192, 128], fit), seed=5)
    left, top, right, bottom = crop.box
    scale_x, scale_y = 192 / (right - left), 128 / (bottom - top)
    radius = 8 / min(scale_x, scale_y)
    y, x = np.mgrid[0:height, 0:width] + 0.5
    for share_x, share_y in [(0.3, 0.4), (0.5, 0.5), (0.7, 0.6)]:
        at_x, at_y = left + share_x * (right - left), top + share_y * (bottom - top)
        image_hwc = np.zeros((height, width, 3), np.uint8)
        image_hwc[..., 0] = 255 * np.clip(radius + 0.5 - np.hypot(x - at_x, y - at_y), 0, 1)
        red = apply_crop(image_hwc, crop)[..., 0].astype(float)
        stored_y, stored_x = np.mgrid[0:128, 0:192] + 0.5
        seen = np.array([(red * stored_x).sum(), (red * stored_y).sum()]) / red.sum()
        carried = carry_keypoints(_keypoints((at_x, at_y, 0.75)), crop)
        np.testing.assert_allclose(carried[0, 0, :2], seen, atol=0.3)
        assert carried[0, 0, 2] == 0.75
        assert crop_labels(image_hwc[..., 0], crop)[int(carried[0, 0, 1]), int(carried[0, 0, 0])] > 250


def test_a_point_that_the_crop_cuts_off_keeps_its_place_and_loses_its_score() -> None:
    crop = _plan(300, 100, _config(64))
    assert crop.box == (100, 0, 200, 100)
    carried = carry_keypoints(_keypoints((99, 50, 1), (100, 0, 1), (199.9, 99.9, 1), (200, 50, 1), (150, 100, 1)), crop)
    assert carried[0, :5, 2].tolist() == [0, 1, 1, 0, 0]
    places = np.array([[-0.64, 32.0], [64.0, 32.0], [32.0, 64.0]], np.float32)
    np.testing.assert_allclose(carried[0, [0, 3, 4], :2], places, rtol=1e-6)


def test_a_point_that_was_not_annotated_stays_at_zero() -> None:
    carried = carry_keypoints(_keypoints((150, 50, 1)), _plan(300, 100, _config(64)))
    assert not carried[0, 1:].any()


@pytest.mark.parametrize("persons", [0, 1, 3])
def test_keypoints_stay_float32_of_the_same_shape(persons: int) -> None:
    keypoints = np.ones((persons, 17, 3), np.float32)
    carried = carry_keypoints(keypoints, _plan(300, 100, _config(64)))
    assert carried.shape == keypoints.shape
    assert carried.dtype == np.float32
    assert (keypoints == 1).all(), "the annotation itself is not written to"


def test_a_crop_of_another_image_is_refused() -> None:
    crop = _plan(300, 100, _config(64))
    with pytest.raises(ValueError, match="must be the original of 300 x 100 pixels, got 100 x 300"):
        apply_crop(_noise(100, 300), crop)
    with pytest.raises(ValueError, match="must be the original of 300 x 100 pixels, got 299 x 100"):
        crop_labels(_noise(299, 100)[..., 0], crop)
