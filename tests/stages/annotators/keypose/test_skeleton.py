"""The drawing of persons against the recipe of T2I-Adapter, on made-up persons and on COCO's annotations."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from stages.annotators.keypose.network import MIRRORED_KEYPOINTS
from stages.annotators.keypose.skeleton import draw_skeleton, visible_persons
from stages.records import Float32Array, UInt8Array

WIDTH, HEIGHT = 200, 160
ORANGE, GREEN, BLUE = (255, 153, 51), (0, 255, 0), (0, 128, 255)
LEFT_WRIST, RIGHT_WRIST = 9, 10


def drawn_by_the_recipe(keypoints: Float32Array, width: int, height: int) -> UInt8Array:
    """Follow reference/recipe.md: its tables, plain cv2 calls, nothing of ours."""
    links = (
        "15,13 13,11 16,14 14,12 11,12 5,11 6,12 5,6 5,7 6,8 7,9 8,10 1,2 0,1 0,2 1,3 2,4 3,5 4,6",
        [GREEN] * 2 + [BLUE] * 2 + [ORANGE] * 4 + [GREEN, BLUE, GREEN, BLUE] + [ORANGE] * 7,
    )
    canvas = np.zeros((height, width, 3), np.uint8)
    for person in keypoints:
        for index, (x, y, score) in enumerate(person):
            color = ORANGE if index <= 4 else GREEN if index % 2 else BLUE
            if score >= 0.1:
                cv2.circle(canvas, (int(x), int(y)), 2, color, -1)
        for link, color in zip(links[0].split(), links[1], strict=True):
            start, end = (int(index) for index in link.split(","))
            ends = [(int(person[index, 0]), int(person[index, 1])) for index in (start, end)]
            on_or_outside = any(x <= 0 or x >= width or y <= 0 or y >= height for x, y in ends)
            if not on_or_outside and person[start, 2] >= 0.1 and person[end, 2] >= 0.1:
                cv2.line(canvas, ends[0], ends[1], color, thickness=2)
    return canvas


def crowd(persons: int, seed: int = 0) -> Float32Array:
    """Draw persons at random: some points over the border, some under the score threshold."""
    random = np.random.default_rng(seed)
    low, high = np.array([-20, -20, 0]), np.array([WIDTH + 20, HEIGHT + 20, 1])
    return random.uniform(low, high, (persons, 17, 3)).astype(np.float32)


def one_person(index_to_position: dict[int, tuple[float, float]]) -> Float32Array:
    """Make one person of which only these keypoints are visible."""
    keypoints = np.zeros((1, 17, 3), np.float32)
    for index, position in index_to_position.items():
        keypoints[0, index] = (*position, 1.0)
    return keypoints


def colors_of(picture_hwc: UInt8Array) -> set[tuple[int, ...]]:
    return {tuple(color) for color in np.unique(picture_hwc.reshape(-1, 3), axis=0).tolist()}


@pytest.mark.parametrize("persons", [0, 1, 2, 30])
def test_the_picture_equals_the_recipe_pixel_for_pixel(persons: int) -> None:
    keypoints = crowd(persons, seed=persons)
    assert np.array_equal(draw_skeleton(keypoints, WIDTH, HEIGHT), drawn_by_the_recipe(keypoints, WIDTH, HEIGHT))


def test_annotated_photographs_equal_the_recipe_pixel_for_pixel(shared: Path) -> None:
    for keypoints, width, height in annotated_persons(shared).values():
        assert np.array_equal(draw_skeleton(keypoints, width, height), drawn_by_the_recipe(keypoints, width, height))


def test_only_the_three_colours_and_black_appear() -> None:
    assert colors_of(draw_skeleton(crowd(30), WIDTH, HEIGHT)) == {ORANGE, GREEN, BLUE, (0, 0, 0)}


def test_the_reference_picture_holds_exactly_these_colours(shared: Path) -> None:
    golden = np.asarray(Image.open(shared / "golden/t2i_adapter/keypose/person_keypose.png").convert("RGB"))
    assert colors_of(golden) == colors_of(draw_skeleton(crowd(30), WIDTH, HEIGHT))


def test_nobody_gives_a_black_picture() -> None:
    picture = draw_skeleton(np.zeros((0, 17, 3), np.float32), WIDTH, HEIGHT)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert not picture.any()


def test_a_person_without_visible_keypoints_is_not_drawn() -> None:
    hidden = crowd(1)
    hidden[..., 2] = 0.099
    assert len(visible_persons(hidden)) == 0
    assert not draw_skeleton(hidden, WIDTH, HEIGHT).any()


def test_a_keypoint_at_the_threshold_is_drawn() -> None:
    nose = one_person({0: (50, 50)})
    nose[0, 0, 2] = np.float32(0.1)
    assert draw_skeleton(nose, WIDTH, HEIGHT)[50, 50].tolist() == list(ORANGE)


@pytest.mark.parametrize("elbow", [(0.9, 80), (100, 0.9), (WIDTH, 80), (100, HEIGHT), (-30, 80), (100, HEIGHT + 30)])
def test_a_link_to_the_border_or_beyond_is_left_out(elbow: tuple[float, float]) -> None:
    picture = draw_skeleton(one_person({5: (100, 80), 7: elbow}), WIDTH, HEIGHT)
    assert np.array_equal(picture, drawn_by_the_recipe(one_person({5: (100, 80), 7: elbow}), WIDTH, HEIGHT))
    middle = (int(80 + elbow[1]) // 2, int(100 + elbow[0]) // 2)
    assert not picture[middle].any()


def test_a_point_at_the_border_is_clipped_to_the_picture() -> None:
    picture = draw_skeleton(one_person({9: (0, 80), 10: (WIDTH + 1, 80)}), WIDTH, HEIGHT)
    assert picture[80, 0].tolist() == list(GREEN)
    assert picture[80, WIDTH - 1].tolist() == list(BLUE)


def test_coordinates_are_truncated_not_rounded() -> None:
    assert np.array_equal(
        draw_skeleton(one_person({0: (50.99, 60.99)}), WIDTH, HEIGHT),
        draw_skeleton(one_person({0: (50, 60)}), WIDTH, HEIGHT),
    )


def test_the_first_persons_alone_are_drawn_if_asked() -> None:
    keypoints = crowd(30)
    picture = draw_skeleton(keypoints, WIDTH, HEIGHT, max_persons=2)
    assert np.array_equal(picture, drawn_by_the_recipe(keypoints[:2], WIDTH, HEIGHT))


def test_persons_that_nobody_sees_do_not_count_among_the_first() -> None:
    keypoints = crowd(3)
    keypoints[0, :, 2] = 0
    picture = draw_skeleton(keypoints, WIDTH, HEIGHT, max_persons=2)
    assert np.array_equal(picture, drawn_by_the_recipe(keypoints[1:], WIDTH, HEIGHT))


def annotated_persons(shared: Path) -> dict[int, tuple[Float32Array, int, int]]:
    """Read COCO's persons: image id to (persons, 17, 3), width, height; visibility 0 is score 0, else 1."""
    contents = json.loads((shared / "data/coco17/annotations/person_keypoints_val2017.json").read_text())
    sizes = {image["id"]: (image["width"], image["height"]) for image in contents["images"]}
    persons: dict[int, list[Float32Array]] = {}
    for annotation in contents["annotations"]:
        if not annotation["iscrowd"]:
            keypoints = np.array(annotation["keypoints"], np.float32).reshape(17, 3)
            keypoints[:, 2] = keypoints[:, 2] > 0
            persons.setdefault(annotation["image_id"], []).append(keypoints)
    return {image_id: (np.stack(found), *sizes[image_id]) for image_id, found in persons.items()}


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_the_left_and_right_hand_of_a_skier_have_their_colours(shared: Path, is_mirrored: bool) -> None:
    keypoints, width, height = annotated_persons(shared)[785]
    left, right = (449, 165), (309, 178)
    assert keypoints[0, LEFT_WRIST, :2].tolist() == list(left)
    assert keypoints[0, RIGHT_WRIST, :2].tolist() == list(right)
    if is_mirrored:
        keypoints = keypoints[:, list(MIRRORED_KEYPOINTS)]
        keypoints[..., 0] = width - 1 - keypoints[..., 0]
        # The hand that was the left one is the right hand of the person in the mirror.
        left, right = (width - 1 - right[0], right[1]), (width - 1 - left[0], left[1])
    picture = draw_skeleton(keypoints, width, height)
    assert picture[left[1], left[0]].tolist() == list(GREEN)
    assert picture[right[1], right[0]].tolist() == list(BLUE)
