"""The captions of the drawn scenes that are not English, so that the embedded data set exercises encodings.

The invariant: each has characters outside of ASCII, in UTF-8 of two bytes (é, ü) or of three (Japanese).
"""

from dataclasses import dataclass
from enum import StrEnum

from stages.sources.synthetic.shapes import Colour, ShapeKind


class Language(StrEnum):
    """A language besides English."""

    FRENCH = "fr"
    GERMAN = "de"
    JAPANESE = "ja"


@dataclass(frozen=True, slots=True)
class Group:
    """Shapes of one kind and colour."""

    count: int
    kind: ShapeKind
    colour: Colour


FRENCH_SHAPES: dict[ShapeKind, tuple[str, str, str]] = {
    ShapeKind.CIRCLE: ("un", "cercle", "cercles"),
    ShapeKind.SQUARE: ("un", "carré", "carrés"),
    ShapeKind.TRIANGLE: ("un", "triangle", "triangles"),
    ShapeKind.STAR: ("une", "étoile", "étoiles"),
    ShapeKind.RING: ("un", "anneau", "anneaux"),
    ShapeKind.HEART: ("un", "cœur", "cœurs"),
    ShapeKind.DIAMOND: ("un", "losange", "losanges"),
    ShapeKind.CRESCENT: ("un", "croissant", "croissants"),
}
FRENCH_COLOURS: dict[Colour, tuple[str, str]] = {
    Colour.RED: ("rouge", "rouge"),
    Colour.ORANGE: ("orange", "orange"),
    Colour.YELLOW: ("jaune", "jaune"),
    Colour.GREEN: ("vert", "verte"),
    Colour.BLUE: ("bleu", "bleue"),
    Colour.PURPLE: ("violet", "violette"),
    Colour.PINK: ("rose", "rose"),
    Colour.BLACK: ("noir", "noire"),
}
"""Masculine, feminine; the plural adds an s, but orange never changes."""
FRENCH_PEOPLE = ("une personne", "deux personnes")

GERMAN_SHAPES: dict[ShapeKind, tuple[str, str, str, str]] = {
    ShapeKind.CIRCLE: ("ein", "er", "Kreis", "Kreise"),
    ShapeKind.SQUARE: ("ein", "es", "Quadrat", "Quadrate"),
    ShapeKind.TRIANGLE: ("ein", "es", "Dreieck", "Dreiecke"),
    ShapeKind.STAR: ("ein", "er", "Stern", "Sterne"),
    ShapeKind.RING: ("ein", "er", "Ring", "Ringe"),
    ShapeKind.HEART: ("ein", "es", "Herz", "Herzen"),
    ShapeKind.DIAMOND: ("eine", "e", "Raute", "Rauten"),
    ShapeKind.CRESCENT: ("eine", "e", "Mondsichel", "Mondsicheln"),
}
"""Article, ending of the adjective, singular, plural."""
GERMAN_COLOURS: dict[Colour, str] = {
    Colour.RED: "rot",
    Colour.ORANGE: "orangefarben",
    Colour.YELLOW: "gelb",
    Colour.GREEN: "grün",
    Colour.BLUE: "blau",
    Colour.PURPLE: "violett",
    Colour.PINK: "rosafarben",
    Colour.BLACK: "schwarz",
}
GERMAN_PEOPLE = ("eine Person", "zwei Personen")

JAPANESE_SHAPES: dict[ShapeKind, str] = {
    ShapeKind.CIRCLE: "丸",
    ShapeKind.SQUARE: "四角",
    ShapeKind.TRIANGLE: "三角",
    ShapeKind.STAR: "星",
    ShapeKind.RING: "輪",
    ShapeKind.HEART: "ハート",
    ShapeKind.DIAMOND: "ひし形",
    ShapeKind.CRESCENT: "三日月",
}
JAPANESE_COLOURS: dict[Colour, str] = {
    Colour.RED: "赤い",
    Colour.ORANGE: "オレンジ色の",
    Colour.YELLOW: "黄色い",
    Colour.GREEN: "緑の",
    Colour.BLUE: "青い",
    Colour.PURPLE: "紫の",
    Colour.PINK: "ピンクの",
    Colour.BLACK: "黒い",
}
JAPANESE_PEOPLE = ("一人の人", "二人の人")


def translate(groups: list[Group], people: int, language: Language) -> str:
    """Return a caption that lists the shapes and the people (0 to 2)."""
    match language:
        case Language.FRENCH:
            things = [*(_french(group) for group in groups), *FRENCH_PEOPLE[:people][-1:]]
            return "dessin coloré : " + _listed(things, ", ", " et ")
        case Language.GERMAN:
            things = [*(_german(group) for group in groups), *GERMAN_PEOPLE[:people][-1:]]
            return "hübsche Zeichnung: " + _listed(things, ", ", " und ")
        case Language.JAPANESE:
            things = [*(_japanese(group) for group in groups), *JAPANESE_PEOPLE[:people][-1:]]
            return _listed(things, "と", "と") + "の絵"


def _french(group: Group) -> str:
    article, singular, plural = FRENCH_SHAPES[group.kind]
    colour = FRENCH_COLOURS[group.colour][article == "une"]
    if group.count == 1:
        return f"{article} {singular} {colour}"
    ending = "" if group.colour is Colour.ORANGE else "s"
    return f"{('deux', 'trois')[group.count - 2]} {plural} {colour}{ending}"


def _german(group: Group) -> str:
    article, ending, singular, plural = GERMAN_SHAPES[group.kind]
    colour = GERMAN_COLOURS[group.colour]
    if group.count == 1:
        return f"{article} {colour}{ending} {singular}"
    return f"{('zwei', 'drei')[group.count - 2]} {colour}e {plural}"


def _japanese(group: Group) -> str:
    return ("", "二つの", "三つの")[group.count - 1] + JAPANESE_COLOURS[group.colour] + JAPANESE_SHAPES[group.kind]


def _listed(things: list[str], comma: str, last: str) -> str:
    return things[0] if len(things) == 1 else comma.join(things[:-1]) + last + things[-1]
