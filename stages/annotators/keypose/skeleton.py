"""The picture of persons that T2I-Adapter's keypose model was trained on: coloured points and links on black.

         1   2                  head (points 0-4, and every link to them)   orange
         3 0 4       points     left (odd from 5) and the left limbs        green
      5 ─────── 6               right (even from 6) and the right limbs     blue
      7         8               left and right are the person's, as in COCO
      9         10
        11 ─ 12                 per person: first all points, then all links;
        13   14                 later persons are drawn over earlier ones
        15   16

Invariant: the picture is a function of the keypoints alone and holds these three colours and black, nothing between
them. Source: imshow_keypoints of T2I-Adapter (SD:ldm/modules/extra_condition/utils.py), whose table is BGR; here RGB.
"""

import numpy as np

from stages.records import Float32Array, UInt8Array

KEYPOINTS = 17
"""Of a person in COCO: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; left before right."""
SIDES = tuple((left, left + 1) for left in range(1, 17, 2))
"""The keypoints that change places when a person is mirrored."""

SCORE_THRESHOLD = 0.1
"""Below it a keypoint is not drawn (imshow_keypoints, kpt_score_thr)."""

RADIUS_PIXELS = 2
THICKNESS_PIXELS = 2

HEAD = (255, 153, 51)
LEFT = (0, 255, 0)
RIGHT = (0, 128, 255)

POINT_COLORS = (HEAD,) * 5 + (LEFT, RIGHT) * 6

LINKS = (
    ((15, 13), LEFT),
    ((13, 11), LEFT),
    ((16, 14), RIGHT),
    ((14, 12), RIGHT),
    ((11, 12), HEAD),
    ((5, 11), HEAD),
    ((6, 12), HEAD),
    ((5, 6), HEAD),
    ((5, 7), LEFT),
    ((6, 8), RIGHT),
    ((7, 9), LEFT),
    ((8, 10), RIGHT),
    ((1, 2), HEAD),
    ((0, 1), HEAD),
    ((0, 2), HEAD),
    ((1, 3), HEAD),
    ((2, 4), HEAD),
    ((3, 5), HEAD),
    ((4, 6), HEAD),
)
"""Pairs of keypoints in drawing order, with their colour."""


def visible_persons(keypoints: Float32Array, score_threshold: float = SCORE_THRESHOLD) -> Float32Array:
    """Keep the persons of (persons, 17, 3) that have at least one keypoint to draw, in their order."""
    return keypoints[(keypoints[:, :, 2] >= score_threshold).any(axis=1)]


def draw_skeleton(
    keypoints: Float32Array,
    width_pixels: int,
    height_pixels: int,
    score_threshold: float = SCORE_THRESHOLD,
    max_persons: int | None = None,
) -> UInt8Array:
    """Draw persons as T2I-Adapter does.

    Takes (persons, 17, 3): x, y in pixels of the picture, score 0 to 1. Draws the first `max_persons` of the visible
    persons (2 in the released code), or all. Returns (height, width, 3) uint8 RGB.

    Coordinates are truncated to whole pixels. A point outside of the picture is clipped; a link is left out if one of
    its ends scores under the threshold or lies at x <= 0, y <= 0, x >= width or y >= height.
    """
    canvas_hwc = np.zeros((height_pixels, width_pixels, 3), np.uint8)
    for person in visible_persons(keypoints, score_threshold)[:max_persons]:
        _draw_person(canvas_hwc, person, score_threshold)
    return canvas_hwc


def _draw_person(canvas_hwc: UInt8Array, person: Float32Array, score_threshold: float) -> None:
    """Draw one person, (17, 3), onto the picture."""
    import cv2

    height, width = canvas_hwc.shape[:2]
    positions = [(int(x), int(y)) for x, y, _ in person]
    shown = [bool(score >= score_threshold) for score in person[:, 2]]
    inside = [0 < x < width and 0 < y < height for x, y in positions]
    for position, color, is_shown in zip(positions, POINT_COLORS, shown, strict=True):
        if is_shown:
            cv2.circle(canvas_hwc, position, RADIUS_PIXELS, color, thickness=-1)
    for (start, end), color in LINKS:
        if shown[start] and shown[end] and inside[start] and inside[end]:
            cv2.line(canvas_hwc, positions[start], positions[end], color, thickness=THICKNESS_PIXELS)
