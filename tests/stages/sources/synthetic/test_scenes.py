"""The drawn scenes are what their captions, label maps and keypoints say, at every size."""

import re

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from stages.records import UInt8Array
from stages.sources.synthetic.figures import INK
from stages.sources.synthetic.scenes import (
    LABELS,
    PERSON_CATEGORY,
    ZONE_CATEGORIES,
    ZONE_RGB,
    Scene,
    describe_scene,
    draw_scene,
)
from stages.sources.synthetic.shapes import RGB, SHAPE_CATEGORIES, Colour, ShapeKind

COLOURS = "|".join(Colour)
KINDS = "|".join(ShapeKind)
SHAPE = re.compile(rf"(?:\b(an?|two|three) )?\b({COLOURS}) ({KINDS})(s?)\b", re.IGNORECASE)


def _interior(labels_hw: UInt8Array, category: int) -> npt.NDArray[np.bool_]:
    """The pixels two or more away from any other label."""
    mask = (labels_hw == category).astype(np.uint8)
    return np.asarray(cv2.erode(mask, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_REPLICATE)) > 0


def _drawn_shapes(scene: Scene) -> set[tuple[str, str, int]]:
    """Colour, kind and number of the shapes, seen in the picture and in the label map alone."""
    found = set()
    for kind, category in SHAPE_CATEGORIES.items():
        _, _, components, _ = cv2.connectedComponentsWithStats((scene.labels_hw == category).astype(np.uint8))
        # The first is the background; the tips of a crescent may come off, a pixel or two.
        count = int((components[1:, cv2.CC_STAT_AREA] > 20).sum())
        if count:
            (rgb,) = np.unique(scene.image_hwc[_interior(scene.labels_hw, category)], axis=0).tolist()
            (colour,) = (name for name, value in RGB.items() if value == tuple(rgb))
            found.add((str(colour), str(kind), count))
    return found


def _named_shapes(caption: str) -> set[tuple[str, str, int]]:
    counts = {"": 1, "a": 1, "an": 1, "two": 2, "three": 3}
    return {(colour.lower(), kind.lower(), counts[count.lower()]) for count, colour, kind, _ in SHAPE.findall(caption)}


def _named_people(caption: str) -> int:
    if re.search(r"\btwo people\b|\bone person\b.*\banother\b", caption, re.IGNORECASE):
        return 2
    return 1 if re.search(r"\bperson\b", caption, re.IGNORECASE) else 0


def _in_english(captions: tuple[str, ...]) -> list[str]:
    return [caption for caption in captions if caption.isascii()]


def test_the_same_scene_is_drawn_alike_every_time() -> None:
    for index in range(6):
        first, second = draw_scene(1, index, 96, 64), draw_scene(1, index, 96, 64)
        assert np.array_equal(first.image_hwc, second.image_hwc)
        assert np.array_equal(first.labels_hw, second.labels_hw)
        assert np.array_equal(first.keypoints, second.keypoints)
        assert first.captions == second.captions


def test_seeds_and_indices_give_different_scenes() -> None:
    pictures = {draw_scene(seed, index, 64, 64).image_hwc.tobytes() for seed in (0, 1) for index in range(10)}
    assert len(pictures) == 20


@pytest.mark.parametrize(("width", "height"), [(64, 64), (128, 64), (64, 192)])
def test_describing_a_scene_gives_what_drawing_it_gives(width: int, height: int) -> None:
    for index in range(20):
        described, drawn = describe_scene(0, index, width, height), draw_scene(0, index, width, height)
        assert described.captions == drawn.captions
        assert np.array_equal(described.keypoints, drawn.keypoints)
        assert described.keypoints.dtype == np.float32
        assert drawn.image_hwc.shape == (height, width, 3)
        assert drawn.labels_hw.shape == (height, width)
        assert drawn.image_hwc.dtype == drawn.labels_hw.dtype == np.uint8


def test_another_size_shows_the_same_scene() -> None:
    for index in range(12):
        small, large = draw_scene(0, index, 128, 128), draw_scene(0, index, 384, 384)
        reduced = cv2.resize(large.image_hwc, (128, 128), interpolation=cv2.INTER_AREA)
        assert np.abs(reduced.astype(int) - small.image_hwc).mean() < 0.6
        assert (large.labels_hw[1::3, 1::3] == small.labels_hw).mean() > 0.992
        np.testing.assert_allclose(large.keypoints[..., :2], 3 * small.keypoints[..., :2], rtol=1e-5)
        assert np.array_equal(large.keypoints[..., 2], small.keypoints[..., 2])
        assert large.captions == small.captions


@pytest.mark.parametrize(("width", "height"), [(160, 64), (64, 128)])
def test_a_longer_side_shows_more_ground_around_the_same_square(width: int, height: int) -> None:
    left, top = (width - 64) // 2, (height - 64) // 2
    for index in range(12):
        square, wide = draw_scene(0, index, 64, 64), draw_scene(0, index, width, height)
        central = (slice(top, top + 64), slice(left, left + 64))
        assert np.abs(wide.image_hwc[central].astype(int) - square.image_hwc).mean() < 0.2
        assert (wide.labels_hw[central] == square.labels_hw).mean() > 0.995
        assert wide.captions == square.captions


def test_every_shape_has_exactly_its_colour_and_every_zone_too() -> None:
    zone_rgb = {category: ZONE_RGB[zone] for zone, category in ZONE_CATEGORIES.items()}
    for index in range(40):
        scene = draw_scene(0, index, 128, 128)
        assert _drawn_shapes(scene)
        for category in np.unique(scene.labels_hw).tolist():
            if category in zone_rgb:
                assert np.all(scene.image_hwc[_interior(scene.labels_hw, category)] == zone_rgb[category])


def test_edges_are_soft_in_the_picture() -> None:
    scene = draw_scene(0, 0, 128, 128)
    flat = {RGB[Colour.BLACK], *ZONE_RGB.values()}
    blended = [rgb for rgb in map(tuple, scene.image_hwc.reshape(-1, 3).tolist()) if rgb not in flat]
    assert 50 < len(blended) < 0.1 * 128 * 128


def test_every_label_is_listed_and_none_is_unlabelled() -> None:
    found = {
        category for index in range(150) for category in np.unique(draw_scene(2, index, 64, 64).labels_hw).tolist()
    }
    assert found == set(LABELS) - {0}


def test_no_two_labels_look_alike_in_the_palette_of_pascal_voc() -> None:
    categories = np.array(sorted(LABELS))
    bits = (categories[:, None] >> np.arange(8)) & 1
    palette = np.stack(
        [
            sum(bits[:, 3 * step + channel] << (7 - step) for step in range(3) if 3 * step + channel < 8)
            for channel in range(3)
        ],
        axis=1,
    )
    furthest_channel = np.abs(palette[:, None] - palette[None]).max(axis=2)
    assert furthest_channel[~np.eye(len(categories), dtype=bool)].min() >= 64


@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 160), (256, 256)])
def test_a_visible_keypoint_lies_on_a_person(width: int, height: int) -> None:
    for index in range(90):
        description = describe_scene(0, index, width, height)
        if len(description.keypoints):
            labels_hw = draw_scene(0, index, width, height).labels_hw
            x, y, _ = description.keypoints[description.keypoints[..., 2] == 1].astype(int).T
            assert np.all(labels_hw[y, x] == PERSON_CATEGORY), index


def test_scenes_without_people_have_no_person_label_and_others_do() -> None:
    for index in range(40):
        scene = draw_scene(3, index, 64, 64)
        assert bool(np.any(scene.labels_hw == PERSON_CATEGORY)) == bool(len(scene.keypoints))


def test_left_is_the_persons_own_left() -> None:
    facing = away = 0
    for index in range(150):
        for person in describe_scene(0, index, 64, 64).keypoints:
            faces_us = person[0, 2] == 1
            assert np.all(person[1:3, 2] == faces_us), "eyes are seen with the nose or not at all"
            for left, right in zip(range(3, 17, 2), range(4, 17, 2), strict=True):
                assert (person[left, 0] > person[right, 0]) == faces_us
            facing, away = facing + int(faces_us), away + int(not faces_us)
    assert facing > 4 * away > 0


def test_the_eyes_of_a_face_are_drawn_at_their_keypoints() -> None:
    seen = 0
    for index in range(40):
        scene = draw_scene(0, index, 512, 512)
        for person in scene.keypoints:
            if person[0, 2] == 1:
                for x, y, _ in person[1:3].astype(int):
                    assert tuple(scene.image_hwc[y, x].tolist()) == INK
                seen += 1
    assert seen > 5


def test_a_person_cut_by_the_picture_has_hidden_joints_that_a_taller_picture_shows() -> None:
    cut = [index for index in range(150) if np.any(describe_scene(0, index, 64, 64).keypoints[:, 15:, 2] == 0)]
    assert 1 <= len(cut) <= 20
    for index in cut:
        square, tall = describe_scene(0, index, 64, 64).keypoints, describe_scene(0, index, 64, 128).keypoints
        assert np.all(square[:, 15:, 1] >= 64)
        assert np.all(tall[:, :, 2] == 1)


def test_a_third_of_the_scenes_has_people_and_a_third_of_those_has_two() -> None:
    people = [len(describe_scene(0, index, 512, 512).keypoints) for index in range(300)]
    assert 170 < people.count(0) < 230
    assert 45 < people.count(1) < 90
    assert 18 < people.count(2) < 50
    assert set(people) == {0, 1, 2}


def test_every_english_caption_names_exactly_the_shapes_and_people_that_are_there() -> None:
    for index in range(120):
        scene = draw_scene(0, index, 96, 96)
        drawn_shapes = _drawn_shapes(scene)
        for caption in _in_english(scene.captions):
            assert _named_shapes(caption) == drawn_shapes, caption
            assert _named_people(caption) == len(scene.keypoints), caption


def test_captions_say_truly_where_things_are() -> None:
    thing = rf"(?:(?:{COLOURS}) ({KINDS})|(person)[a-z ]*?)"
    pattern = re.compile(
        rf"{thing} (?:(?:to|on) the (left|right) of|(above|over|below|under)) an? {thing}\b", re.IGNORECASE
    )
    checked = 0
    for index in range(200):
        scene = None
        for caption in _in_english(describe_scene(0, index, 64, 64).captions):
            for kind, person, sideways, upright, other_kind, other_person in pattern.findall(caption.lower()):
                scene = scene or draw_scene(0, index, 64, 64)
                x, y = _middle(scene, kind or person)
                other_x, other_y = _middle(scene, other_kind or other_person)
                relation = sideways or upright
                assert {
                    "left": x < other_x,
                    "right": x > other_x,
                    "above": y < other_y,
                    "over": y < other_y,
                    "below": y > other_y,
                    "under": y > other_y,
                }[relation], caption
                checked += 1
    assert checked > 60


def _middle(scene: Scene, name: str) -> tuple[float, float]:
    category = PERSON_CATEGORY if name == "person" else SHAPE_CATEGORIES[ShapeKind(name)]
    y, x = np.nonzero(scene.labels_hw == category)
    return float(x.mean()), float(y.mean())


def test_a_scene_has_one_to_five_different_captions() -> None:
    captions = [describe_scene(0, index, 64, 64).captions for index in range(200)]
    assert {len(each) for each in captions} == {1, 2, 3, 4, 5}
    assert all(len(set(each)) == len(each) and all(each) for each in captions)


def test_a_tenth_of_the_scenes_has_a_caption_outside_of_ascii() -> None:
    foreign = [c for index in range(300) for c in describe_scene(0, index, 64, 64).captions if not c.isascii()]
    assert 20 < len(foreign) < 60
    beginnings = {caption[:6] for caption in foreign}
    assert {"dessin", "hübsch"} < beginnings
    assert any(caption.endswith("の絵") for caption in foreign)


def test_the_embedded_scenes_stay_as_they_are() -> None:
    description = describe_scene(0, 6, 512, 512)
    assert description.captions == (
        "There is a person in a pink shirt and an orange star on a sandy beach.",
        "a person in a pink shirt and an orange star on a sandy beach",
    )
    np.testing.assert_allclose(
        description.keypoints[0, [0, 9]], [[153.108, 196.691, 1], [231.180, 160.377, 1]], atol=1e-3
    )
