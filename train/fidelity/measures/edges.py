"""How well edges are met: the F1 score of edge pixels within two pixels.

    found edges ──share that lies within 2 px of a true edge──> precision ──┐
    true edges ──share that lies within 2 px of a found edge──> recall ─────┴──> F1

Invariant: the measure is symmetric, and 1 exactly if no edge pixel of either is farther than that from the other.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

BoolArray: TypeAlias = npt.NDArray[np.bool_]

TOLERANCE_PIXELS = 2.0


def edge_f1(truth_hw: BoolArray, found_hw: BoolArray) -> float:
    """Compare two edge pictures, (height, width) bool; 0 if one of the two is empty, 1 if both are."""
    if not truth_hw.any() or not found_hw.any():
        return float(truth_hw.any() == found_hw.any())
    precision, recall = _share_near(found_hw, truth_hw), _share_near(truth_hw, found_hw)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _share_near(edges_hw: BoolArray, others_hw: BoolArray) -> float:
    """The share of edge pixels whose Euclidean distance to one of the others is within the tolerance."""
    import cv2

    distance_hw = cv2.distanceTransform((~others_hw).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float(np.mean(distance_hw[edges_hw] <= TOLERANCE_PIXELS))
