"""Mean intersection over union, and the labels that a scene's colours give."""

import itertools

import numpy as np
import pytest

from stages.records import UInt8Array
from stages.sources.synthetic.scenes import ZONE_CATEGORIES, draw_scene
from tests.train.fidelity.disturbances import blurred, noisy, shifted
from train.fidelity.measures.segmentation import FIGURE, classes_of_labels, classes_of_scene, mean_iou


def test_the_colours_of_a_scene_give_its_labels_back() -> None:
    scores = []
    for index in range(20):
        scene = draw_scene(0, index, 256, 256)
        truth_hw, found_hw = classes_of_labels(scene.labels_hw), classes_of_scene(scene.image_hwc)
        assert set(np.unique(truth_hw)) <= {FIGURE, *ZONE_CATEGORIES.values()}
        scores.append(mean_iou(truth_hw, found_hw))
    assert min(scores) > 0.95


def test_the_mean_is_that_of_a_confusion_matrix() -> None:
    generator = np.random.default_rng(0)
    truth, found = generator.integers(0, 5, (2, 30, 30)).astype(np.uint8)
    found[truth == 1] = 1
    confusion = np.zeros((5, 5), int)
    np.add.at(confusion, (truth, found), 1)
    ious = np.diag(confusion) / (confusion.sum(axis=0) + confusion.sum(axis=1) - np.diag(confusion))
    assert mean_iou(truth, found) == pytest.approx(ious.mean())
    assert mean_iou(truth, truth) == 1.0


def test_a_class_that_is_there_by_mistake_costs_what_it_covers_and_a_missing_one_all() -> None:
    whole, half = np.zeros((2, 4), np.uint8), np.zeros((2, 4), np.uint8)
    half[:, 2:] = 7
    assert mean_iou(whole, half) == 0.5
    assert mean_iou(half, whole) == 0.25


@pytest.mark.parametrize("disturbance", ["shift", "noise", "blur"])
def test_more_disturbance_gives_less(disturbance: str) -> None:
    def disturbed(image_hwc: UInt8Array) -> list[UInt8Array]:
        match disturbance:
            case "shift":
                return [shifted(image_hwc, pixels) for pixels in (0, 2, 5, 9)]
            case "noise":
                return [noisy(image_hwc, strength) for strength in (0, 0.2, 0.4, 0.8)]
            case _:
                return [blurred(image_hwc, sigma) for sigma in (0, 2, 4, 8)]

    scores = np.mean(
        [
            [
                mean_iou(classes_of_labels(scene.labels_hw), classes_of_scene(each))
                for each in disturbed(scene.image_hwc)
            ]
            for scene in (draw_scene(0, index, 128, 128) for index in range(8))
        ],
        axis=0,
    )
    assert all(one > other for one, other in itertools.pairwise(scores)), scores
