"""The flat shapes of the drawn scenes: their names, colours, category ids and outlines.

    ShapeKind.STAR ──outlines_of──> polygons inside the unit disc, upright

The invariant: an outline stays inside the unit disc, so that shapes whose discs are apart do not touch.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from stages.sources.synthetic.figures import Outline, Rgb


class ShapeKind(StrEnum):
    """A shape's English name."""

    CIRCLE = "circle"
    SQUARE = "square"
    TRIANGLE = "triangle"
    STAR = "star"
    RING = "ring"
    HEART = "heart"
    DIAMOND = "diamond"
    CRESCENT = "crescent"


class Colour(StrEnum):
    """A colour's English name; no ground has one of these colours."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    BLUE = "blue"
    PURPLE = "purple"
    PINK = "pink"
    BLACK = "black"


KINDS, COLOURS = tuple(ShapeKind), tuple(Colour)

RGB: dict[Colour, Rgb] = {
    Colour.RED: (222, 54, 50),
    Colour.ORANGE: (244, 138, 32),
    Colour.YELLOW: (252, 208, 40),
    Colour.GREEN: (30, 146, 82),
    Colour.BLUE: (38, 90, 206),
    Colour.PURPLE: (132, 68, 176),
    Colour.PINK: (242, 124, 176),
    Colour.BLACK: (42, 42, 50),
}

SHAPE_CATEGORIES: dict[ShapeKind, int] = {kind: 201 + number for number, kind in enumerate(ShapeKind)}
"""COCO-Stuff ends at 182. From 201 to 208 the colours of the PASCAL VOC palette differ from each other and from those
of the person and the grounds by 64 of 255 or more in a channel; from 183 to 190 some pairs differ by 32 alone."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape in its place, in units of the picture's short side from its centre."""

    kind: ShapeKind
    colour: Colour
    centre: complex
    radius: float
    angle_radians: float

    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the disc around the shape."""
        x, y = self.centre.real, self.centre.imag
        return x - self.radius, y - self.radius, x + self.radius, y + self.radius

    def outlines(self) -> list[Outline]:
        """Return the polygons to fill by the even-odd rule: two for a ring, the second being its hole."""
        turn = self.radius * np.exp(1j * self.angle_radians)
        return [self.centre + turn * outline for outline in outlines_of(self.kind)]


def outlines_of(kind: ShapeKind) -> list[Outline]:
    """Return a shape's polygons in the unit disc, to fill by the even-odd rule."""
    match kind:
        case ShapeKind.CIRCLE:
            return [_corners(96)]
        case ShapeKind.RING:
            return [_corners(96), 0.55 * _corners(96)]
        case ShapeKind.SQUARE:
            return [_corners(4) * np.exp(0.25j * np.pi)]
        case ShapeKind.TRIANGLE:
            return [_corners(3)]
        case ShapeKind.DIAMOND:
            corners = _corners(4)
            return [0.68 * corners.real + 1j * corners.imag]
        case ShapeKind.STAR:
            points = _corners(10)
            points[1::2] *= 0.46
            return [points]
        case ShapeKind.HEART:
            # A square on its tip with half a disc on each upper side; 1.27 of its half diagonals reach all of it.
            half_circle = np.sqrt(0.5) * np.exp(1j * np.linspace(0.25, -0.75, 40) * np.pi)
            right, left = (0.5 - 0.5j) + half_circle, (-0.5 - 0.5j) - 1j * half_circle
            return [(np.concatenate([[1j], right, left]) + 0.265j) / 1.27]
        case ShapeKind.CRESCENT:
            tip = np.radians(50)
            back = np.exp(1j * np.linspace(tip, 2 * np.pi - tip, 72))
            # The inner edge goes through the same two tips, on a circle around 0.55.
            radius, angle = np.abs(back[0] - 0.55), np.angle(back[0] - 0.55)
            inner = 0.55 + radius * np.exp(1j * np.linspace(2 * np.pi - angle, angle, 56))
            return [np.concatenate([back, inner])]


def _corners(count: int) -> Outline:
    """Return the corners of a regular polygon, the first at the top."""
    corners: Outline = -1j * np.exp(2j * np.pi * np.arange(count) / count)
    return corners
