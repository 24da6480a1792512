"""Statistics of conditions, against numbers counted by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.inspect.distribution import Distribution, distribution
from pipeline.inspect.statistics import (
    ColorStatistics,
    DepthStatistics,
    EdgeStatistics,
    KeyposeStatistics,
    LabelCount,
    LatentsStatistics,
    SegmentationStatistics,
    tally_for,
)
from stages.annotators.segmentation.palette import palette
from stages.records import Condition


def png(pixels: object, colors: bytes | None = None) -> bytes:
    image = Image.fromarray(np.asarray(pixels, np.uint8))
    if colors:
        image.putpalette(colors)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def npy(values: object, dtype: type[np.floating] = np.float32) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(values, dtype).ravel())
    return file.getvalue()


def statistics(condition: Condition, *samples: dict[str, bytes]) -> object:
    tally = tally_for(condition, 0.5, {0: "nothing", 3: "cat"})
    for sample in samples:
        tally.add(sample)
    return tally.result()


def test_a_distribution_is_minimum_median_mean_and_maximum() -> None:
    assert distribution([5, 1, 2, 8]) == Distribution(1.0, 3.5, 4.0, 8.0)
    assert distribution([7]) == Distribution(7.0, 7.0, 7.0, 7.0)


@pytest.mark.parametrize("condition", [Condition.SKETCH, Condition.CANNY])
def test_edges_are_pixels_over_127(condition: Condition) -> None:
    one, two = png([[0, 127], [128, 255]]), png([[0, 0], [0, 200]])
    found = statistics(condition, {f"{condition}.png": one}, {f"{condition}.png": two})
    assert found == EdgeStatistics(
        density=Distribution(0.25, 0.375, 0.375, 0.5),
        level=Distribution(50.0, 88.75, 88.75, 127.5),
        images_below={0.001: 0, 0.005: 0, 0.01: 0, 0.02: 0},
    )


def test_images_with_few_edges_are_counted_for_whoever_thinks_of_min_edges() -> None:
    pictures = [np.zeros((20, 50), np.uint8) for _ in range(4)]
    for picture, edges in zip(pictures, (0, 1, 7, 500), strict=True):
        picture.reshape(-1)[:edges] = 255  # of 1000 pixels
    found = statistics(Condition.CANNY, *({"canny.png": png(picture)} for picture in pictures))
    assert isinstance(found, EdgeStatistics)
    assert found.images_below == {0.001: 1, 0.005: 2, 0.01: 3, 0.02: 3}


def test_depth_has_a_range_and_may_be_constant() -> None:
    found = statistics(Condition.DEPTH, {"depth.png": png([[10, 20], [30, 40]])}, {"depth.png": png([[7, 7], [7, 7]])})
    assert found == DepthStatistics(
        minimum=Distribution(7.0, 8.5, 8.5, 10.0),
        maximum=Distribution(7.0, 23.5, 23.5, 40.0),
        mean=Distribution(7.0, 16.0, 16.0, 25.0),
        constant_images=1,
    )


def test_persons_and_their_visible_keypoints_are_counted() -> None:
    two = np.zeros((2, 17, 3))
    two[0, :5, 2] = 0.5
    two[0, 5:9, 2] = 0.49
    two[1, :, 2] = 1
    found = statistics(
        Condition.KEYPOSE, {"keypoints.npy": npy(two)}, {"keypoints.npy": npy([])}, {"keypoints.npy": npy([])}
    )
    assert found == KeyposeStatistics(
        persons=Distribution(0.0, 0.0, 2 / 3, 2.0),
        images_by_persons={0: 2, 2: 1},
        visible_keypoints=Distribution(5.0, 11.0, 11.0, 17.0),
    )


def test_without_a_person_there_are_no_keypoints_to_sum_up() -> None:
    assert statistics(Condition.KEYPOSE, {"keypoints.npy": npy([])}) == KeyposeStatistics(
        Distribution(0.0, 0.0, 0.0, 0.0), {0: 1}, None
    )


def test_distinct_colors_are_told_apart_by_every_channel() -> None:
    pixels = [[(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 0, 1), (0, 0, 1), (255, 255, 255)]]
    assert statistics(Condition.COLOR, {"color.png": png(pixels)}) == ColorStatistics(Distribution(5.0, 5.0, 5.0, 5.0))


def test_labels_are_counted_by_pixels_and_images_the_largest_first() -> None:
    one, two = png([[0, 3], [9, 9]], palette()), png([[0, 0], [0, 9]], palette())
    found = statistics(Condition.SEGMENTATION, {"segmentation.png": one}, {"segmentation.png": two})
    assert found == SegmentationStatistics(
        unlabelled=Distribution(0.25, 0.5, 0.5, 0.75),
        labels=(LabelCount(9, "(no name)", 2, 0.375), LabelCount(3, "cat", 1, 0.125)),
    )


def test_every_condition_has_statistics() -> None:
    for condition in Condition:
        tally_for(condition, 0.1, {})


def test_latents_are_summed_up_by_their_means_alone() -> None:
    content = npy([1, 3, 1, 3, -20, -20, -20, -20], np.float16)
    found = statistics(Condition.LATENTS, {"latents.npy": content})
    assert found == LatentsStatistics(Distribution(2.0, 2.0, 2.0, 2.0), Distribution(1.0, 1.0, 1.0, 1.0))
