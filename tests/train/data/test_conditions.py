"""What the adapter is shown of a stored condition: binarised as the paper's, mirrored as annotating would mirror it."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

from stages.annotators.color import color_map
from stages.annotators.keypose.skeleton import HEAD, LEFT, RIGHT, draw_skeleton
from stages.errors import ShardCorrupt
from stages.image.encode import encode_png
from stages.records import Condition, Float32Array, UInt8Array
from stages.sources.synthetic.scenes import describe_scene
from train.data.conditions import (
    ConditionsConfig,
    binarise,
    condition_of_visit,
    decode_condition,
    flip,
    is_flipped,
    sketch_threshold,
)
from train.data.visit import Visit

MIRRORED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
"""COCO's keypoint that each one becomes in a mirror."""


def photograph(seed: int, width: int = 192, height: int = 128) -> UInt8Array:
    """Smooth noise."""
    small = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_a_stored_sketch_is_binarised_as_the_soft_map_that_it_was() -> None:
    soft = np.random.default_rng(0).random((200, 200), np.float32)
    stored = np.round(255 * soft).astype(np.uint8)
    paper = np.where(soft > 0.5, 255, 0)  # SD:train_sketch.py:325-327
    assert np.array_equal(binarise(decode_condition(encode_png(stored), "x"), 0.5), paper)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_a_pixel_is_an_edge_if_its_probability_exceeds_the_threshold(threshold: float) -> None:
    levels = np.arange(256, dtype=np.uint8)[None]
    expected = [255 if level / 255 > threshold else 0 for level in range(256)]
    assert binarise(levels, threshold)[0].tolist() == expected


def test_random_thresholds_are_those_of_the_paper_for_xl() -> None:
    config = ConditionsConfig(sketch="random")
    drawn = [sketch_threshold(config, Visit(0, index)) for index in range(300)]
    assert set(drawn) == {0.3, 0.4, 0.5, 0.6, 0.7, 0.8}
    assert [sketch_threshold(config, Visit(0, index)) for index in range(10)] == drawn[:10]
    # Rounding gives the ends half of the others' share: XL:train_sketch.py:377-380, round(uniform(0.3, 0.8), 1).
    ends = sum(threshold in (0.3, 0.8) for threshold in drawn) / len(drawn)
    assert ends == pytest.approx(0.2, abs=0.08)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, [0, 0, 255, 255]), ({"sketch_threshold": 0.2}, [0, 255, 255, 255]), ({"sketch": "soft"}, [0, 100, 200, 255])],
)
def test_a_sketch_is_binarised_or_left_soft(settings: dict[str, object], expected: list[int]) -> None:
    config = ConditionsConfig.model_validate(settings)
    picture = np.array([[0, 100, 200, 255]], np.uint8)
    assert condition_of_visit(picture, Condition.SKETCH, config, 1, Visit(0, 0)).tolist() == [[expected]]


def test_no_other_condition_is_binarised() -> None:
    picture = np.array([[0, 100, 200, 255]], np.uint8)
    for condition in (Condition.DEPTH, Condition.CANNY):
        assert condition_of_visit(picture, condition, ConditionsConfig(), 1, Visit(0, 0)).tolist() == [picture.tolist()]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grey_condition_is_repeated_for_each_channel(channels: int) -> None:
    grey = photograph(0)[:, :, 0]
    shown = condition_of_visit(grey, Condition.DEPTH, ConditionsConfig(), channels, Visit(0, 0))
    assert shown.shape == (channels, *grey.shape)
    assert all(np.array_equal(channel, grey) for channel in shown)


def test_a_coloured_condition_keeps_its_channels() -> None:
    picture = photograph(0)
    shown = condition_of_visit(picture, Condition.COLOR, ConditionsConfig(), 3, Visit(0, 0))
    assert np.array_equal(shown.transpose(1, 2, 0), picture)


def test_sixteen_bits_are_rounded_to_the_nearest_of_eight() -> None:
    depth = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    nearest = np.round(depth.astype(np.float64) / 65535 * 255)
    assert np.array_equal(decode_condition(encode_png(depth), "x"), nearest)


def test_an_indexed_picture_is_shown_in_the_colours_of_its_palette() -> None:
    ids = np.arange(256, dtype=np.uint8)[None]
    palette = bytes(np.random.default_rng(0).integers(0, 256, 768, np.uint8))
    shown = decode_condition(encode_png(ids, palette), "x")
    assert shown.tobytes() == palette


@pytest.mark.parametrize("content", [b"", b"no picture", encode_png(photograph(0))[:2000]])
def test_a_damaged_picture_is_named(content: bytes) -> None:
    with pytest.raises(
        ShardCorrupt,
        match=rf"^shard 7 sample a must be a PNG of 8 or 16 bits, got {len(content)} bytes with \w+; "
        "prepare the shard again$",
    ):
        decode_condition(content, "shard 7 sample a")


def test_another_picture_format_is_refused() -> None:
    file = io.BytesIO()
    Image.fromarray(photograph(0)).save(file, "JPEG")
    with pytest.raises(ShardCorrupt, match="must be a PNG of 8 or 16 bits"):
        decode_condition(file.getvalue(), "x")


@pytest.mark.parametrize("condition", [each for each in Condition if each is not Condition.LATENTS])
def test_mirrored_twice_a_picture_is_itself(condition: Condition) -> None:
    picture = photograph(1)
    picture[:20, :20] = LEFT
    picture[30:50, 70:90] = RIGHT
    assert np.array_equal(flip(flip(picture, condition), condition), picture)


def test_a_mirrored_color_map_is_that_of_the_mirrored_image() -> None:
    image = photograph(2)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    assert np.array_equal(flip(color_map(image), Condition.COLOR), color_map(mirrored))


def mirrored_persons(persons: Float32Array, width: int) -> Float32Array:
    mirrored = persons[:, MIRRORED].copy()
    mirrored[:, :, 0] = width - 1 - mirrored[:, :, 0]
    return mirrored


def scene_persons(index: int) -> Float32Array:
    """Standing figures, at whole pixels as the drawing truncates them."""
    persons = describe_scene(0, index, 128, 128).keypoints.copy()
    persons[:, :, :2] = np.floor(persons[:, :, :2])
    return persons


def test_a_mirrored_keypose_is_the_drawing_of_the_mirrored_persons() -> None:
    scenes = [persons for index in range(40) if len(persons := scene_persons(index))]
    assert len(scenes) > 5
    for persons in scenes:
        drawn = draw_skeleton(persons, 128, 128)
        expected = draw_skeleton(mirrored_persons(persons, 128), 128, 128)
        assert np.array_equal(flip(drawn, Condition.KEYPOSE), expected)
        assert not np.array_equal(drawn[:, ::-1], expected)  # what a flip without the exchange of sides would give


def test_where_left_and_right_limbs_cross_only_the_crossing_is_drawn_otherwise() -> None:
    person = np.zeros((1, 17, 3), np.float32)
    for point, place in {7: (40, 40), 9: (80, 80), 8: (80, 40), 10: (40, 80)}.items():
        person[0, point] = (*place, 1)
    ours = flip(draw_skeleton(person, 128, 128), Condition.KEYPOSE)
    theirs = draw_skeleton(mirrored_persons(person, 128), 128, 128)
    rows, columns = np.nonzero((ours != theirs).any(axis=2))
    assert 0 < len(rows) < 40
    assert abs(rows - 60).max() <= 3
    assert abs(columns - 67).max() <= 3
    assert {tuple(colour) for colour in ours.reshape(-1, 3).tolist()} == {(0, 0, 0), LEFT, RIGHT}


def test_the_head_keeps_its_colour_in_a_mirror() -> None:
    picture = np.full((4, 4, 3), HEAD, np.uint8)
    assert np.array_equal(flip(picture, Condition.KEYPOSE), picture)


def test_other_pictures_in_the_colours_of_a_skeleton_are_only_mirrored() -> None:
    picture = np.zeros((2, 4, 3), np.uint8)
    picture[:, 0] = LEFT
    assert np.array_equal(flip(picture, Condition.SEGMENTATION), picture[:, ::-1])


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_visits_is_mirrored(share: float) -> None:
    config = ConditionsConfig(flip=share)
    mirrored = [is_flipped(config, Visit(0, index)) for index in range(1000)]
    assert binomtest(sum(mirrored), len(mirrored), share).pvalue > 0.001
    assert [is_flipped(config, Visit(0, index)) for index in range(20)] == mirrored[:20]
