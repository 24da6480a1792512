"""How well poses are met: PCK and OKS of the persons that shall be there.

    true persons x found persons ──OKS──> pairs, best first ──┬── OKS, mean over true persons
                                                              └── PCK, share of true keypoints within 0.1 of the box

A true person whom nobody was found for counts 0. Invariant: a found person serves one true person at most; persons
beyond the true ones cost nothing, as in COCO's recall.
"""

import itertools
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stages.annotators.keypose.skeleton import SCORE_THRESHOLD, visible_persons
from stages.records import Float32Array

Float64Array: TypeAlias = npt.NDArray[np.float64]

SIGMAS = np.array([0.26, 0.25, 0.25, 0.35, 0.35, *(s for s in (0.79, 0.72, 0.62, 1.07, 0.87, 0.89) for _ in "lr")]) / 10
"""How exactly COCO's annotators place each keypoint, in units of the root of the person's area (pycocotools)."""
PCK_SHARE = 0.1
"""A keypoint is met within this share of the longer side of the true person's box."""


@dataclass(frozen=True, slots=True)
class PoseFidelity:
    """Both are shares: 1 is best."""

    pck: float
    oks: float


def pose_fidelity(truth: Float32Array, found: Float32Array) -> PoseFidelity | None:
    """Compare persons, each (persons, 17, 3) of x, y, score; None without a true person."""
    truth = visible_persons(truth)
    if not len(truth):
        return None
    oks = np.array([[object_keypoint_similarity(one, other) for other in found] for one in truth])
    pairs = _pairs(oks.reshape(len(truth), len(found)))
    met = sum(int(_met(truth[one], found[other]).sum()) for one, other in pairs)
    return PoseFidelity(
        pck=met / int(_visible(truth).sum()),
        oks=sum(float(oks[pair]) for pair in pairs) / len(truth),
    )


def object_keypoint_similarity(truth: Float32Array, found: Float32Array) -> float:
    """Compute COCO's OKS of two persons, (17, 3), over the true one's visible keypoints.

    COCO's area is that of a person's outline; there is none here, so it is that of the box around the keypoints.
    """
    width, height = _box_sides(truth)
    distance2 = ((found[:, :2].astype(float) - truth[:, :2]) ** 2).sum(axis=1)
    exponent = distance2 / (2 * SIGMAS) ** 2 / (width * height + np.spacing(1)) / 2
    return float(np.exp(-exponent[_visible(truth)]).mean())


def _pairs(oks: Float64Array) -> list[tuple[int, int]]:
    """Pair true and found persons, the most similar first."""
    pairs: list[tuple[int, int]] = []
    order = sorted(itertools.product(*map(range, oks.shape)), key=lambda pair: -oks[pair])
    for one, other in order:
        if all(one != paired and other != taken for paired, taken in pairs):
            pairs.append((one, other))
    return pairs


def _met(truth: Float32Array, found: Float32Array) -> npt.NDArray[np.bool_]:
    """Which of the true person's visible keypoints were found, and near enough."""
    distance = np.linalg.norm(found[:, :2].astype(float) - truth[:, :2], axis=1)
    met: npt.NDArray[np.bool_] = _visible(truth) & _visible(found) & (distance <= PCK_SHARE * max(_box_sides(truth)))
    return met


def _visible(persons: Float32Array) -> npt.NDArray[np.bool_]:
    visible: npt.NDArray[np.bool_] = persons[..., 2] >= SCORE_THRESHOLD
    return visible


def _box_sides(person: Float32Array) -> tuple[float, float]:
    """Width and height of the box around the visible keypoints; at least a pixel, since a person has an area."""
    points = person[_visible(person), :2].astype(float)
    width, height = np.maximum(points.max(axis=0) - points.min(axis=0), 1)
    return float(width), float(height)
