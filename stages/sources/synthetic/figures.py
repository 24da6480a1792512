"""The people of the drawn scenes: a small articulated figure, its 17 COCO keypoints and the flat parts it is drawn of.

         o        Points are complex numbers, x + iy with y down; one unit is the standing height, 0 the middle of the
       --#--      hips. `Figure.joints` follows a pose's angles from the hips outwards; keypoints and parts both follow
        / \\       from the joints, so a keypoint is where the drawing shows it.

The invariant: left and right in the keypoints are the person's own. One who faces us has the left side at our right;
one seen from behind has it at our left and hides nose and eyes.
"""

import cmath
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Rgb: TypeAlias = tuple[int, int, int]
Outline: TypeAlias = npt.NDArray[np.complex128]
"""The vertices of a polygon, in order."""
Sides: TypeAlias = tuple[complex, complex]
"""One joint at our left and its fellow at our right."""

HEAD_RADIUS = 0.115
"""A quarter of the height, as in a picture book, so that the face is seen in a small picture."""
NECK_LENGTH = 0.06
TORSO_LENGTH = 0.27
SHOULDER_HALF_WIDTH = 0.095
HIP_HALF_WIDTH = 0.055
ARM_LENGTH = 0.145
"""Of the upper arm and of the forearm."""
LEG_LENGTH = 0.19
"""Of the thigh and of the shin."""
SOLE_DROP = 0.055
"""From the ankle to the ground."""
ARM_RADIUS = 0.034
LEG_RADIUS = 0.042
HAND_RADIUS = 0.043

EYES: Sides = (-0.4 + 0.08j, 0.4 + 0.08j)
EARS: Sides = (-1.02 + 0.1j, 1.02 + 0.1j)
NOSE = 0.32j
"""In units of the head's radius from its centre."""

INK: Rgb = (46, 40, 48)
SHOES: Rgb = (74, 50, 48)


class Action(StrEnum):
    """What a figure does."""

    STAND = "stand"
    WAVE = "wave"
    CHEER = "cheer"
    POSE = "pose"
    DANCE = "dance"
    JUMP = "jump"


@dataclass(frozen=True, slots=True)
class Pose:
    """Angles of the limbs in degrees, 0 straight down and growing outwards, first at our left, then at our right."""

    arms: tuple[tuple[float, float], tuple[float, float]]
    """Upper arm and forearm."""
    legs: tuple[tuple[float, float], tuple[float, float]]
    """Thigh and shin."""
    lean: float = 0.0
    """Of the torso, clockwise."""
    head_tilt: float = 0.0


POSES = {
    Action.STAND: Pose(arms=((17, 9), (17, 9)), legs=((8, 3), (8, 3))),
    Action.WAVE: Pose(arms=((18, 10), (112, 168)), legs=((8, 3), (9, 4)), lean=-2, head_tilt=5),
    Action.CHEER: Pose(arms=((140, 163), (140, 163)), legs=((13, 6), (13, 6))),
    Action.POSE: Pose(arms=((54, -44), (54, -44)), legs=((13, 8), (13, 8)), head_tilt=-4),
    Action.DANCE: Pose(arms=((72, 24), (128, 152)), legs=((7, 2), (44, -16)), lean=-5, head_tilt=8),
    Action.JUMP: Pose(arms=((122, 152), (122, 152)), legs=((40, -18), (40, -18))),
}


@dataclass(frozen=True, slots=True)
class Joints:
    """Where a figure's joints are."""

    head: complex
    head_turn: complex
    """Of length one: what turns an upright head."""
    neck: complex
    shoulders: Sides
    elbows: Sides
    wrists: Sides
    hips: Sides
    knees: Sides
    ankles: Sides

    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the figure as drawn."""
        limbs = (*self.elbows, *self.wrists, *self.knees, *self.ankles)
        return (
            min(self.head.real - 1.3 * HEAD_RADIUS, *(joint.real - 0.06 for joint in limbs)),
            min(self.head.imag - 1.1 * HEAD_RADIUS, *(joint.imag - HAND_RADIUS for joint in limbs)),
            max(self.head.real + 1.3 * HEAD_RADIUS, *(joint.real + 0.06 for joint in limbs)),
            max(ankle.imag for ankle in self.ankles) + SOLE_DROP,
        )


def joints_of(pose: Pose) -> Joints:
    """Follow the limbs of a pose from the middle of the hips outwards."""
    turn = _turn(pose.lean)
    neck = -1j * TORSO_LENGTH * turn
    head_turn = _turn(pose.lean + pose.head_tilt)
    shoulders = (neck - SHOULDER_HALF_WIDTH * turn, neck + SHOULDER_HALF_WIDTH * turn)
    hips = (-HIP_HALF_WIDTH * turn, HIP_HALF_WIDTH * turn)
    elbows = _swing(shoulders, (pose.arms[0][0], pose.arms[1][0]), ARM_LENGTH)
    knees = _swing(hips, (pose.legs[0][0], pose.legs[1][0]), LEG_LENGTH)
    return Joints(
        head=neck - 1j * (NECK_LENGTH + HEAD_RADIUS) * head_turn,
        head_turn=head_turn,
        neck=neck,
        shoulders=shoulders,
        elbows=elbows,
        wrists=_swing(elbows, (pose.arms[0][1], pose.arms[1][1]), ARM_LENGTH),
        hips=hips,
        knees=knees,
        ankles=_swing(knees, (pose.legs[0][1], pose.legs[1][1]), LEG_LENGTH),
    )


def keypoints_of(joints: Joints, faces_us: bool) -> list[tuple[complex, float]]:
    """Return the 17 COCO keypoints as (point, score); score 0 for the nose and eyes of one who faces away."""
    face = 1.0 if faces_us else 0.0
    points = [(_on_head(joints, NOSE), face)]
    pairs = [(_both_on_head(joints, EYES), face), (_both_on_head(joints, EARS), 1.0)]
    limbs = (joints.shoulders, joints.elbows, joints.wrists, joints.hips, joints.knees, joints.ankles)
    for (at_our_left, at_our_right), score in (*pairs, *((limb, 1.0) for limb in limbs)):
        left, right = (at_our_right, at_our_left) if faces_us else (at_our_left, at_our_right)
        points += [(left, score), (right, score)]
    return points


@dataclass(frozen=True, slots=True)
class Looks:
    """The flat colours of a figure, and its hair."""

    skin: Rgb
    hair: Rgb
    shirt: Rgb
    trousers: Rgb
    long_hair: bool


def parts_of(joints: Joints, faces_us: bool, looks: Looks) -> list[tuple[Outline, Rgb]]:
    """Return the flat parts of a figure in painter's order, the farthest first."""
    sleeves = _shaded(looks.shirt, 0.86)
    parts: list[tuple[Outline, Rgb]] = []
    for hip, knee, ankle in zip(joints.hips, joints.knees, joints.ankles, strict=True):
        toe = ankle + math.copysign(0.024, ankle.real) + 0.022j
        parts.append((limb(ankle + 0.022j, toe, 0.033, 0.033), SHOES))
        parts.append((limb(hip, knee, LEG_RADIUS * 1.15, LEG_RADIUS), looks.trousers))
        parts.append((limb(knee, ankle, LEG_RADIUS, LEG_RADIUS * 0.9), looks.trousers))
    if looks.long_hair and faces_us:
        parts.append((limb(joints.head, joints.neck, 1.12 * HEAD_RADIUS, 0.95 * HEAD_RADIUS), looks.hair))
    parts.append((limb(joints.head, joints.neck, 0.04, 0.045), _shaded(looks.skin, 0.9)))
    parts.append((limb(joints.hips[0], joints.hips[1], LEG_RADIUS * 1.15, LEG_RADIUS * 1.15), looks.trousers))
    parts.append((_shirt(joints.neck), looks.shirt))
    for shoulder, elbow, wrist in zip(joints.shoulders, joints.elbows, joints.wrists, strict=True):
        parts.append((limb(elbow, wrist, ARM_RADIUS * 0.9, ARM_RADIUS * 0.9), looks.skin))
        parts.append((limb(wrist, wrist, HAND_RADIUS, HAND_RADIUS), looks.skin))
        parts.append((limb(shoulder, elbow, ARM_RADIUS * 1.25, ARM_RADIUS * 1.1), sleeves))
    return parts + _head_parts(joints, faces_us, looks)


def _shirt(neck: complex) -> Outline:
    """Return a half circle over the chest, and straight sides down to a hem just below the hips."""
    turn = 1j * neck / abs(neck)
    shoulders = 0.78 * neck + 0.108 * turn * np.exp(1j * np.linspace(1.0, 2.0, 24) * math.pi)
    return np.concatenate(
        [shoulders, [(0.1 + 0.022j) * turn, (0.085 + 0.034j) * turn, (-0.085 + 0.034j) * turn, (-0.1 + 0.022j) * turn]]
    )


def _head_parts(joints: Joints, faces_us: bool, looks: Looks) -> list[tuple[Outline, Rgb]]:
    ears = [(_round(0.24, ear), _shaded(looks.skin, 0.9)) for ear in EARS]
    if faces_us:
        fringe = 1.08 * np.exp(1j * np.radians(np.linspace(184, 356, 40)))
        mouth_angles = np.radians(np.linspace(25, 155, 20))
        mouth = np.concatenate([np.exp(1j * mouth_angles), (0.72 * np.exp(1j * mouth_angles) + 0.1j)[::-1]])
        parts = [
            *ears,
            (_round(1.0), looks.skin),
            (np.concatenate([fringe, [0.55 - 0.42j, -0.2 - 0.3j]]), looks.hair),
            *((_round(0.17, 1.35 * eye.real + 0.36j), _blushing(looks.skin)) for eye in EYES),
            *((_round(0.115, eye), INK) for eye in EYES),
            (_round(0.075, NOSE), _shaded(looks.skin, 0.72)),
            (0.4 * mouth + 0.32j, INK),
        ]
    else:
        parts = [*ears, (_round(1.0), looks.skin), (_round(1.06, -0.06j), looks.hair)]
        if looks.long_hair:
            parts.append((limb(0j, 0.9j, 1.06, 0.85), looks.hair))
    return [(joints.head + HEAD_RADIUS * joints.head_turn * outline, colour) for outline, colour in parts]


def limb(start: complex, end: complex, start_radius: float, end_radius: float) -> Outline:
    """Return the outline around two discs, a limb with round ends: two half circles, 32 vertices."""
    along = cmath.phase(end - start) if end != start else 0.0
    half_circle = np.exp(1j * (along + np.linspace(0.5, 1.5, 16) * math.pi))
    return np.concatenate([start + start_radius * half_circle, end - end_radius * half_circle])


def _round(radius: float, centre: complex = 0j) -> Outline:
    return limb(centre, centre, radius, radius)


def _turn(degrees: float) -> complex:
    return cmath.exp(1j * math.radians(degrees))


def _swing(joints: Sides, degrees: tuple[float, float], length: float) -> Sides:
    """Go `length` from each joint, outwards from straight down."""
    left, right = (math.radians(angle) for angle in degrees)
    return (
        joints[0] + length * complex(-math.sin(left), math.cos(left)),
        joints[1] + length * complex(math.sin(right), math.cos(right)),
    )


def _on_head(joints: Joints, offset: complex) -> complex:
    return joints.head + HEAD_RADIUS * joints.head_turn * offset


def _both_on_head(joints: Joints, offsets: Sides) -> Sides:
    return _on_head(joints, offsets[0]), _on_head(joints, offsets[1])


def _blushing(skin: Rgb) -> Rgb:
    red, green, blue = skin
    return min(255, red + 14), round(0.74 * green), round(0.78 * blue)


def _shaded(colour: Rgb, brightness: float) -> Rgb:
    red, green, blue = (round(brightness * value) for value in colour)
    return red, green, blue
