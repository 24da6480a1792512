"""What a drawn scene is made of and where: a ground, shapes and figures in cells that do not overlap.

    (seed, index) ──compose──> Composition, in units of the picture's short side, (0, 0) the middle of the picture

The invariant: a composition knows nothing of the picture's size. Everything that a caption names lies in the central
square of side 1 (a figure seen from near may leave it at the bottom alone), so every picture of it shows the same.
"""

import itertools
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from stages.randomness import pick, random_for
from stages.sources.synthetic.figures import POSES, Action, Joints, Looks, Pose, Rgb, joints_of
from stages.sources.synthetic.shapes import COLOURS, KINDS, RGB, Colour, Shape, ShapeKind

Cell: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""

SQUARE: Cell = (-0.46, -0.46, 0.46, 0.46)
"""The central square less a margin."""


class Zone(StrEnum):
    """A part of the ground, in one flat colour."""

    SKY = "sky"
    GRASS = "grass"
    SAND = "sand"
    SEA = "sea"
    SNOW = "snow"


class Ground(StrEnum):
    """What lies behind everything."""

    MEADOW = "meadow"
    BEACH = "beach"
    SNOWFIELD = "snowfield"
    OCEAN = "ocean"
    LAWN = "lawn"
    SAND = "sand"
    WATER = "water"
    SKY = "sky"


ZONES: dict[Ground, tuple[Zone, ...]] = {
    Ground.MEADOW: (Zone.SKY, Zone.GRASS),
    Ground.BEACH: (Zone.SKY, Zone.SEA, Zone.SAND),
    Ground.SNOWFIELD: (Zone.SKY, Zone.SNOW),
    Ground.OCEAN: (Zone.SKY, Zone.SEA),
    Ground.LAWN: (Zone.GRASS,),
    Ground.SAND: (Zone.SAND,),
    Ground.WATER: (Zone.SEA,),
    Ground.SKY: (Zone.SKY,),
}
"""From the top of the picture to its bottom."""

WALKABLE = (Ground.MEADOW, Ground.MEADOW, Ground.BEACH, Ground.BEACH, Ground.SNOWFIELD, Ground.LAWN, Ground.SAND)
"""Where people stand; the first two twice as often."""


SKINS: tuple[Rgb, ...] = ((246, 200, 164), (226, 168, 124), (176, 116, 78), (116, 74, 52))
HAIRS: tuple[Rgb, ...] = ((58, 40, 34), (36, 32, 36), (226, 178, 84), (178, 86, 40))
TROUSERS: tuple[Rgb, ...] = ((62, 74, 108), (98, 90, 88), (72, 104, 104))


@dataclass(frozen=True, slots=True)
class Boundary:
    """The upper edge of a zone: a sine wave, so that it goes on at any width of the picture."""

    zone: Zone
    level: float
    amplitude: float
    wavelength: float
    phase_radians: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A person in its place."""

    action: Action
    faces_us: bool
    shirt: Colour
    looks: Looks
    joints: Joints
    hips: complex
    """The middle of the hips, in units of the picture's short side from its centre."""
    height: float
    """Standing, of the same units."""

    def box(self) -> Cell:
        """Left, top, right and bottom of the figure as drawn."""
        left, top, right, bottom = (self.height * edge for edge in self.joints.box())
        x, y = self.hips.real, self.hips.imag
        return x + left, y + top, x + right, y + bottom


@dataclass(frozen=True, slots=True)
class Composition:
    """A scene before it is drawn at some size."""

    ground: Ground
    boundaries: tuple[Boundary, ...]
    shapes: tuple[Shape, ...]
    figures: tuple[Figure, ...]


def compose(seed: int, index: int) -> Composition:
    """Draw the content of scene `index`: one to three shapes, and in a third of the scenes one or two people."""
    generator = random_for(seed, "scene", index)
    dice = generator.random()
    people = 0 if dice < 2 / 3 else 1 if dice < 8 / 9 else 2
    ground = pick(generator, WALKABLE if people else tuple(Ground))
    boundaries = _boundaries(generator, ground)
    shapes: tuple[Shape, ...]
    figures: tuple[Figure, ...]
    if not people:
        shapes, figures = _shapes_alone(generator), ()
    elif people == 1 and generator.random() < 0.2:
        shapes, figures = _near(generator)
    else:
        shapes, figures = _people_and_shapes(generator, people)
    return Composition(ground, boundaries, shapes, figures)


def _boundaries(generator: np.random.Generator, ground: Ground) -> tuple[Boundary, ...]:
    """Put the edges of land and sea in the middle, the lowest at 0.33: people stand at 0.36 or below."""
    level = generator.uniform(-0.1, 0.12)
    boundaries: list[Boundary] = []
    for zone in ZONES[ground][1:]:
        amplitude = 0.0 if zone is Zone.SEA else generator.uniform(0.008, 0.03)
        wavelength = generator.uniform(0.9, 1.6)
        boundaries.append(Boundary(zone, level, amplitude, wavelength, generator.uniform(0, 2 * math.pi)))
        level += generator.uniform(0.13, 0.18)
    return tuple(boundaries)


def _shapes_alone(generator: np.random.Generator) -> tuple[Shape, ...]:
    """Put one to three shapes anywhere."""
    shapes = _choose_shapes(generator, pick(generator, (1, 1, 2, 2, 2, 3, 3)))
    cells = _cells(generator, len(shapes))
    return tuple(_place(generator, *shape, cell) for shape, cell in zip(shapes, cells, strict=True))


def _people_and_shapes(generator: np.random.Generator, people: int) -> tuple[tuple[Shape, ...], tuple[Figure, ...]]:
    """Put people and one or two shapes into at most three columns, in any order."""
    shapes = _choose_shapes(generator, pick(generator, (1, 1, 2)))
    stacked = len(shapes) == 2 and (people == 2 or generator.random() < 0.4)
    roles = ["person"] * people + (["stack"] if stacked else ["shape"] * len(shapes))
    roles = [roles[i] for i in np.argsort(generator.random(len(roles)))]
    columns = _columns(generator, SQUARE, [1.2 if role == "person" else 0.9 for role in roles])
    shared_action = pick(generator, tuple(Action)) if people == 2 and generator.random() < 0.5 else None
    cells: list[Cell] = []
    figures: list[Figure] = []
    for role, column in zip(roles, columns, strict=True):
        if role == "person":
            figures.append(_stand(generator, column, shared_action or pick(generator, tuple(Action))))
        else:
            cells += _rows(generator, column, [1.0, 1.0]) if role == "stack" else [column]
    placed = tuple(_place(generator, *shape, cell) for shape, cell in zip(shapes, cells, strict=True))
    return placed, tuple(figures)


def _choose_shapes(generator: np.random.Generator, count: int) -> list[tuple[ShapeKind, Colour]]:
    """Choose all alike, so that captions count, or all of different kinds and colours, so that they tell apart."""
    if count > 1 and generator.random() < 0.2:
        return [(pick(generator, KINDS), pick(generator, COLOURS))] * count
    kinds = np.argsort(generator.random(len(KINDS)))[:count].tolist()
    colours = np.argsort(generator.random(len(COLOURS)))[:count].tolist()
    return [(KINDS[kind], COLOURS[colour]) for kind, colour in zip(kinds, colours, strict=True)]


def _cells(generator: np.random.Generator, count: int) -> list[Cell]:
    """Cut the square into cells: columns, rows, or for three also one and a pair."""
    cut, cut_again = (_columns, _rows) if generator.random() < 0.5 else (_rows, _columns)
    if count < 3 or generator.random() < 0.5:
        return cut(generator, SQUARE, [1.0] * count)
    first, second = cut(generator, SQUARE, [1.0, 1.0])
    pair = cut_again(generator, second, [1.0, 1.0])
    return [first, *pair]


def _columns(generator: np.random.Generator, cell: Cell, weights: list[float]) -> list[Cell]:
    left, top, right, bottom = cell
    edges = _edges(generator, left, right, weights)
    return [(start, top, end, bottom) for start, end in itertools.pairwise(edges)]


def _rows(generator: np.random.Generator, cell: Cell, weights: list[float]) -> list[Cell]:
    left, top, right, bottom = cell
    edges = _edges(generator, top, bottom, weights)
    return [(left, start, right, end) for start, end in itertools.pairwise(edges)]


def _edges(generator: np.random.Generator, start: float, end: float, weights: list[float]) -> list[float]:
    shares = [weight * generator.uniform(0.94, 1.06) for weight in weights]
    return [start + (end - start) * sum(shares[:number]) / sum(shares) for number in range(len(shares) + 1)]


def _place(generator: np.random.Generator, kind: ShapeKind, colour: Colour, cell: Cell) -> Shape:
    left, top, right, bottom = cell
    width, height = right - left, bottom - top
    radius = min(0.3, 0.5 * min(width, height) * generator.uniform(0.74, 0.96))
    # Less than the room there is: neighbours stay roughly level, so that most pairs have a clear relation.
    x = (left + right) / 2 + 0.6 * (width / 2 - radius) * generator.uniform(-1, 1)
    y = (top + bottom) / 2 + 0.6 * (height / 2 - radius) * generator.uniform(-1, 1)
    return Shape(kind, colour, complex(x, y), radius, math.radians(generator.uniform(-9, 9)))


def _stand(generator: np.random.Generator, cell: Cell, action: Action) -> Figure:
    """Put a whole person into a column, the feet on the ground in the lower part of the picture."""
    floor = generator.uniform(0.36, 0.45) - (0.1 if action is Action.JUMP else 0.0)
    joints = _joints(generator, action)
    left, top, right, bottom = joints.box()
    height = min(
        generator.uniform(0.58, 0.82), (cell[2] - cell[0]) / (right - left), (floor - cell[1]) / (bottom - top)
    )
    x = (cell[0] + cell[2]) / 2 - height * (left + right) / 2
    return _figure(generator, action, joints, complex(x, floor - height * bottom), height, generator.random() < 0.85)


def _near(generator: np.random.Generator) -> tuple[tuple[Shape, ...], tuple[Figure, ...]]:
    """Put one person so near that the face shows and the picture ends at the knees, and one shape beside."""
    person_first = generator.random() < 0.5
    columns = _columns(generator, SQUARE, [2.0, 1.0] if person_first else [1.0, 2.0])
    person_cell, shape_cell = columns if person_first else columns[::-1]
    action = pick(generator, (Action.STAND, Action.WAVE, Action.POSE))
    joints = _joints(generator, action)
    left, top, right, _ = joints.box()
    height = min(generator.uniform(1.2, 1.5), (person_cell[2] - person_cell[0]) / (right - left))
    x = (person_cell[0] + person_cell[2]) / 2 - height * (left + right) / 2
    y = person_cell[1] + generator.uniform(0, 0.06) - height * top
    figure = _figure(generator, action, joints, complex(x, y), height, faces_us=True)
    (shape,) = _choose_shapes(generator, 1)
    return (_place(generator, *shape, shape_cell),), (figure,)


def _joints(generator: np.random.Generator, action: Action) -> Joints:
    """Take an action's pose, either way round, every angle up to five degrees off."""
    pose = POSES[action]
    order = 1 if generator.random() < 0.5 else -1

    def loosened(limbs: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], tuple[float, float]]:
        (a, b), (c, d) = (tuple(angle + generator.uniform(-5, 5) for angle in limb) for limb in limbs[::order])
        return (a, b), (c, d)

    lean = order * pose.lean + generator.uniform(-2, 2)
    return joints_of(Pose(loosened(pose.arms), loosened(pose.legs), lean, order * pose.head_tilt))


def _figure(
    generator: np.random.Generator, action: Action, joints: Joints, hips: complex, height: float, faces_us: bool
) -> Figure:
    shirt = pick(generator, COLOURS)
    looks = Looks(
        skin=pick(generator, SKINS),
        hair=pick(generator, HAIRS),
        shirt=RGB[shirt],
        trousers=pick(generator, TROUSERS),
        long_hair=generator.random() < 0.4,
    )
    return Figure(action, faces_us, shirt, looks, joints, hips, height)
