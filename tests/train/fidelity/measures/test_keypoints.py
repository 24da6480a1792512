"""PCK and OKS."""

import contextlib
import io
import itertools

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params

from stages.annotators.keypose.skeleton import KEYPOINTS
from stages.records import Float32Array
from stages.sources.synthetic.scenes import draw_scene
from train.fidelity.measures.keypoints import SIGMAS, PoseFidelity, object_keypoint_similarity, pose_fidelity


def persons(count: int, seed: int = 0) -> Float32Array:
    """Persons of about 60 x 100 pixels beside each other; some of their keypoints are hidden."""
    generator = np.random.default_rng(seed)
    found = np.empty((count, KEYPOINTS, 3), np.float32)
    for number in range(count):
        found[number, :, 0] = 200 * number + generator.uniform(0, 60, KEYPOINTS)
        found[number, :, 1] = generator.uniform(0, 100, KEYPOINTS)
        found[number, :, 2] = generator.random(KEYPOINTS) > 0.2
    return found


def moved(truth: Float32Array, pixels: float) -> Float32Array:
    """Every keypoint found, each moved in its own direction."""
    angles = np.random.default_rng(7).uniform(0, 2 * np.pi, truth.shape[:2])
    found = truth.copy()
    found[..., :2] += pixels * np.stack([np.cos(angles), np.sin(angles)], axis=2)
    found[..., 2] = 0.9
    return found


def test_the_sigmas_are_cocos() -> None:
    np.testing.assert_allclose(SIGMAS, Params("keypoints").kpt_oks_sigmas)


def test_equal_poses_are_met_in_full() -> None:
    assert pose_fidelity(persons(2), persons(2)) == PoseFidelity(pck=1.0, oks=1.0)


def test_oks_is_that_of_pycocotools() -> None:
    truth, found = persons(3), moved(persons(3), 6)
    expected = coco_oks(truth, found)
    ours = [[object_keypoint_similarity(one, other) for one in truth] for other in found]
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    fidelity = pose_fidelity(truth, found)
    assert fidelity is not None
    assert fidelity.oks == pytest.approx(np.diag(expected).mean())
    assert 0.1 < fidelity.oks < 0.9


def coco_oks(truth: Float32Array, found: Float32Array) -> "np.typing.NDArray[np.float64]":
    """COCOeval's matrix, (found, true), with the area of the box around the visible keypoints."""
    images, categories = [{"id": 1}], [{"id": 1, "name": "person"}]
    annotations = []
    for number, person in enumerate(truth, start=1):
        points = person[person[:, 2] > 0, :2].astype(float)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        annotations.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": 1,
                "iscrowd": 0,
                "area": (right - left) * (bottom - top),
                "bbox": [left, top, right - left, bottom - top],
                "keypoints": person.astype(float).ravel().tolist(),
                "num_keypoints": len(points),
            }
        )
    results = [
        {"image_id": 1, "category_id": 1, "keypoints": person.astype(float).ravel().tolist(), "score": 1 - 0.1 * number}
        for number, person in enumerate(found)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": images, "categories": categories, "annotations": annotations, "info": {}}
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "keypoints")
        evaluation.evaluate()
    return np.asarray(evaluation.ious[1, 1])


def test_the_farther_the_keypoints_the_lower_both() -> None:
    scores = [pose_fidelity(persons(2), moved(persons(2), pixels)) for pixels in (0, 3, 9, 27)]
    oks = [score.oks for score in scores if score]
    assert oks[0] == 1
    assert all(one > other for one, other in itertools.pairwise(oks)), oks
    pck = [score.pck for score in scores if score]
    assert pck[1] == 1  # 3 pixels are within 0.1 of 100
    assert pck[3] == 0


def test_pck_counts_what_lies_within_a_tenth_of_the_longer_side() -> None:
    truth = np.zeros((1, KEYPOINTS, 3), np.float32)
    truth[0, :4] = [(0, 0, 1), (50, 0, 1), (50, 100, 1), (0, 100, 1)]
    found = truth.copy()
    found[0, 0, 0], found[0, 1, 1], found[0, 2, 2] = -9.9, 10.1, 0.05  # met, too far, not found
    fidelity = pose_fidelity(truth, found)
    assert fidelity is not None
    assert fidelity.pck == 0.5


def test_order_and_more_persons_cost_nothing_and_fewer_do() -> None:
    truth = persons(2)
    assert pose_fidelity(truth, np.concatenate([persons(4)[3:], truth[::-1]])) == PoseFidelity(1.0, 1.0)
    fewer = pose_fidelity(truth, truth[:1])
    assert fewer is not None
    assert fewer.oks == 0.5
    assert pose_fidelity(truth, truth[:0]) == PoseFidelity(0.0, 0.0)


def test_one_found_person_serves_one_true_person() -> None:
    twice = np.concatenate([persons(1), persons(1)])
    assert pose_fidelity(twice, persons(1)) == PoseFidelity(0.5, 0.5)


def test_without_a_true_person_there_is_nothing_to_measure() -> None:
    assert pose_fidelity(persons(0), persons(1)) is None
    hidden = persons(1)
    hidden[..., 2] = 0.05
    assert pose_fidelity(hidden, persons(1)) is None


def test_the_persons_of_a_scene_are_like_themselves() -> None:
    scenes = (draw_scene(0, index, 128, 128).keypoints for index in range(20))
    found = [pose_fidelity(keypoints, keypoints) for keypoints in scenes]
    assert set(found) == {None, PoseFidelity(1.0, 1.0)}
