"""What a drawn scene is called, in one to five ways.

    composition ──> groups ("two", circle, red), people, relations ──> candidates ──choose, shuffle──> captions

The invariant: every caption is true at any size of the picture and names every shape, with its colour and number, and
every person. A relation is said only where no one would doubt it.
"""

from collections import Counter
from enum import StrEnum

import numpy as np

from stages.randomness import pick, random_for
from stages.sources.synthetic.composition import Cell, Composition, Figure, Ground
from stages.sources.synthetic.figures import Action
from stages.sources.synthetic.shapes import Shape
from stages.sources.synthetic.translations import Group, Language, translate

NUMBERS = ("no", "one", "two", "three")

PLACES: dict[Ground, tuple[str, ...]] = {
    Ground.MEADOW: ("in a meadow", "in a grassy field", "on a grassy hill"),
    Ground.BEACH: ("by the sea", "on the beach", "on a sandy beach"),
    Ground.SNOWFIELD: ("in the snow", "in a snowy landscape"),
    Ground.OCEAN: ("in front of the open sea", "at sea"),
    Ground.LAWN: ("on the grass", "on a lawn"),
    Ground.SAND: ("on the sand", "on sandy ground"),
    Ground.WATER: ("on the water", "in the water"),
    Ground.SKY: ("in the sky", "in front of a clear sky"),
}

TAGS: dict[Ground, str] = {
    Ground.MEADOW: "meadow",
    Ground.BEACH: "beach",
    Ground.SNOWFIELD: "snow",
    Ground.OCEAN: "sea",
    Ground.LAWN: "grass",
    Ground.SAND: "sand",
    Ground.WATER: "water",
    Ground.SKY: "sky",
}

VERBS: dict[Action, tuple[str, str, str]] = {
    Action.STAND: ("stands", "stand", "standing"),
    Action.WAVE: ("waves", "wave", "waving"),
    Action.CHEER: ("raises both arms", "raise both arms", "raising both arms"),
    Action.POSE: ("poses with hands on hips", "pose with hands on hips", "posing with hands on hips"),
    Action.DANCE: ("dances", "dance", "dancing"),
    Action.JUMP: ("jumps", "jump", "jumping"),
}
"""What one does, what two do, and the participle."""


class Relation(StrEnum):
    """Where one thing is, seen from another."""

    LEFT = "left"
    RIGHT = "right"
    ABOVE = "above"
    BELOW = "below"


WORDS: dict[Relation, tuple[str, ...]] = {
    Relation.LEFT: ("to the left of", "on the left of"),
    Relation.RIGHT: ("to the right of", "on the right of"),
    Relation.ABOVE: ("above", "over"),
    Relation.BELOW: ("below", "under"),
}
ARRANGEMENTS = {
    Relation.LEFT: "side by side",
    Relation.RIGHT: "side by side",
    Relation.ABOVE: "one above the other",
    Relation.BELOW: "one above the other",
}
"""What a pair of like things is said to be."""
OPPOSITES = {Relation.LEFT: Relation.RIGHT, Relation.ABOVE: Relation.BELOW}


def write_captions(composition: Composition, seed: int, index: int) -> tuple[str, ...]:
    """Return one to five different captions; in about a tenth of the scenes one is French, German or Japanese."""
    generator = random_for(seed, "scene captions", index)
    place = pick(generator, PLACES[composition.ground])
    groups = _groups(composition.shapes)
    things = [_count(group) for group in groups]
    people = _people(generator, composition.figures)
    everything = [*people, *things] if generator.random() < 0.5 else [*things, *people]
    opening = pick(generator, ("a picture of", "a drawing of", "a flat illustration of", "a simple scene with"))
    verb = "there is" if everything[0].split()[0] in ("a", "an") else "there are"
    candidates = [
        f"{_listed(everything)} {place}",
        f"{opening} {_listed(everything)} {place}",
        f"{verb} {_listed(everything)} {place}",
        ", ".join([*(_bare(thing) for thing in everything), TAGS[composition.ground]]),
    ]
    candidates += [f"{said} {place}" for said in _related(generator, composition, things, people)]
    if composition.figures:
        candidates.append(f"{_doing(generator, composition.figures, people)} {_listed(things)} {place}")
    chosen = [candidates[i] for i in np.argsort(generator.random(len(candidates)))][: pick(generator, (1, 2, 3, 4, 5))]
    captions = [caption[0].upper() + caption[1:] + "." if generator.random() < 0.3 else caption for caption in chosen]
    if generator.random() < 0.12:
        foreign = translate(groups, len(composition.figures), pick(generator, tuple(Language)))
        captions[int(generator.random() * len(captions))] = foreign
    return tuple(captions)


def _groups(shapes: tuple[Shape, ...]) -> list[Group]:
    counted = Counter((shape.kind, shape.colour) for shape in shapes)
    return [Group(count, kind, colour) for (kind, colour), count in counted.items()]


def _count(group: Group) -> str:
    """Write "a red circle", "an orange ring" or "two blue stars"."""
    if group.count > 1:
        return f"{NUMBERS[group.count]} {group.colour} {group.kind}s"
    return f"{'an' if group.colour[0] in 'aeiou' else 'a'} {group.colour} {group.kind}"


def _people(generator: np.random.Generator, figures: tuple[Figure, ...]) -> list[str]:
    """Return nothing, or one phrase for all people."""
    if not figures:
        return []
    backs = not any(figure.faces_us for figure in figures)
    same_shirt = len({figure.shirt for figure in figures}) == 1
    shirt = figures[0].shirt
    article = "an" if shirt[0] in "aeiou" else "a"
    dressed = f" in {article} {shirt} shirt" if len(figures) == 1 else f" in {shirt} shirts"
    details = ("", " seen from behind" if backs else "", dressed if same_shirt else "")
    return [("a person" if len(figures) == 1 else "two people") + pick(generator, details)]


def _listed(things: list[str]) -> str:
    return things[0] if len(things) == 1 else ", ".join(things[:-1]) + " and " + things[-1]


def _bare(thing: str) -> str:
    return thing.removeprefix("a ").removeprefix("an ")


def _relation(box: Cell, other: Cell) -> Relation | None:
    """Say how `box` lies to `other`: apart along one axis, and level along the other by a third of the smaller one."""
    for low, high, across_low, across_high, before in ((0, 2, 1, 3, Relation.LEFT), (1, 3, 0, 2, Relation.ABOVE)):
        shared = min(box[across_high], other[across_high]) - max(box[across_low], other[across_low])
        smaller = min(box[across_high] - box[across_low], other[across_high] - other[across_low])
        if shared >= smaller / 3:
            if box[high] <= other[low]:
                return before
            if other[high] <= box[low]:
                return OPPOSITES[before]
    return None


def _related(
    generator: np.random.Generator, composition: Composition, things: list[str], people: list[str]
) -> list[str]:
    """Return what can be said of where things are: one phrase that names everything, or nothing."""
    boxes = [shape.box() for shape in composition.shapes]
    figures = composition.figures
    if len(things) == 1 and len(boxes) == 2:
        relation = _relation(*boxes)
        return [f"{_listed([*people, things[0]])} {ARRANGEMENTS[relation]}"] if relation else []
    if len(figures) == 2 and len(boxes) == 1:
        sides = {_relation(figure.box(), boxes[0]) for figure in figures}
        return [f"{things[0]} between {people[0]}"] if sides == {Relation.LEFT, Relation.RIGHT} else []
    if len(things) < len(boxes):
        return []
    placed = list(zip(things, boxes, strict=True))
    if len(figures) == 1:
        placed.append((people[0], figures[0].box()))
    unplaced = people if len(figures) == 2 else []
    order = np.argsort(generator.random(len(placed))).tolist()
    return _told_apart(generator, [placed[i] for i in order], unplaced)


def _told_apart(generator: np.random.Generator, placed: list[tuple[str, Cell]], unplaced: list[str]) -> list[str]:
    """Say where the first thing is that lies between two others or has a clear relation to one."""
    for name, box in placed:
        others = [(other, _relation(box, other_box)) for other, other_box in placed if other != name]
        if len(others) == 2 and {relation for _, relation in others} == {Relation.LEFT, Relation.RIGHT}:
            return [f"{name} between {others[0][0]} and {others[1][0]}"]
        for other, relation in others:
            if relation:
                rest = [*unplaced, *(unsaid for unsaid, _ in others if unsaid != other)]
                return [", and ".join([*rest, f"{name} {pick(generator, WORDS[relation])} {other}"])]
    return []


def _doing(generator: np.random.Generator, figures: tuple[Figure, ...], people: list[str]) -> str:
    """Say what the people do, up to the preposition."""
    verbs = [VERBS[figure.action] for figure in figures]
    if len(figures) == 1:
        near = pick(generator, ("next to", "beside", "near"))
        return f"{people[0]} {pick(generator, (verbs[0][0], verbs[0][2]))} {near}"
    if verbs[0] == verbs[1]:
        return f"{people[0]} {pick(generator, verbs[0][1:])} near"
    return f"one person {verbs[0][0]} and another {verbs[1][0]} near"
