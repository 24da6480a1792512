"""What a condition is, as data: all that a reader of a data set needs to know of it, without its annotator's code.

    annotator's settings ──spec──> ConditionSpec ──whole──> dataset.json ──> verify, inspect, card, training, export

A spec holds names and numbers and nothing that can be called. Names of statistics, measures and variations are looked
up by whoever uses them; an empty one is none.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Encoding(StrEnum):
    """How a member's file is written: a closed set, which every reader knows whole."""

    PNG_GREY = "png_grey"
    """Grey, 8 or 16 bits."""
    PNG_RGB = "png_rgb"
    PNG_INDEXED = "png_indexed"
    """8-bit palette: the index is the value, the palette is for the eye."""
    NPY = "npy"
    """A flat array of numpy's format."""
    JPEG = "jpeg"
    TEXT = "text"
    """UTF-8."""


class MirrorKind(StrEnum):
    """What else happens to the values when the image is mirrored left to right."""

    PLAIN = "plain"
    """Nothing: the pixels are mirrored."""
    NEGATE_RED = "negate_red"
    """Of surface normals: red is the horizontal component, and changes its sign."""
    SWAP_PAIRS = "swap_pairs"
    """Left and right parts change places, as the pairs say; a picture of them is drawn again."""
    IMPOSSIBLE = "impossible"
    """The mirrored image has another condition, which only its annotator could compute."""


class Resize(StrEnum):
    """How a picture of the condition is resized along with its image."""

    AREA = "area"
    """Values between two pixels are means."""
    NEAREST = "nearest"
    """Values are labels or flat colours, between which there is nothing."""
    NONE = "none"
    """It is no picture."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the condition in each sample: `<key>.<extension>`."""

    extension: str
    encoding: Encoding
    dtype: str
    """numpy's name: uint8, uint16, float16, float32."""
    shape: tuple[str, ...]
    """Of the array: numbers, or names such as height and width; a product is written with *."""
    value_range: tuple[float, float] | None
    """The least and the highest value that can occur; None is unbounded."""
    title: str
    """One line for a data card: what the values mean."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """How the condition is mirrored with its image."""

    kind: MirrorKind
    pairs: tuple[tuple[int, int], ...] = ()
    """Of SWAP_PAIRS: the numbers of the parts that change places."""


@dataclass(frozen=True, slots=True)
class Exact:
    """Computed again from the stored image, every byte is the same."""


@dataclass(frozen=True, slots=True)
class Within:
    """Computed again, on another machine too, all but a few values are within so many levels."""

    levels: float
    """Of a picture's 8-bit levels, or the unit of an array."""
    fraction: float
    """Of the values: so many may be farther away."""


Tolerance: TypeAlias = Exact | Within


@dataclass(frozen=True, slots=True)
class ConditionSpec:
    """One condition of a data set."""

    name: str
    """What it is called in configurations and layers."""
    title: str
    """What a person calls it, in a few words."""
    members: tuple[Member, ...]
    """Sorted by extension."""
    shown: str
    """The extension of the member that is its picture; empty without one."""
    channels: int
    """That an adapter for it takes; 0 if no adapter is trained on it."""
    mirror: Mirror
    resize: Resize
    tolerance: Tolerance
    statistics: str = ""
    """What `inspect` counts of it."""
    measure: str = ""
    """By what pictures that follow it are compared with it."""
    variations: tuple[str, ...] = ()
    """Ways in which training may vary it."""

    @property
    def extensions(self) -> tuple[str, ...]:
        return tuple(member.extension for member in self.members)


def picture_member(
    extension: str, encoding: Encoding, title: str, dtype: str = "uint8", most: float | None = None
) -> Member:
    """Describe a picture of the image's size, whose values reach from 0 to `most`, by default all that fit."""
    shape = ("height", "width", "3") if encoding is Encoding.PNG_RGB else ("height", "width")
    highest = {"uint8": 255.0, "uint16": 65535.0}[dtype] if most is None else most
    return Member(extension, encoding, dtype, shape, (0.0, highest), title)


NETWORK_TOLERANCE = Within(levels=1, fraction=0.001)
"""Of what a network gives: float sums differ between machines."""
PLAIN_MIRROR = Mirror(MirrorKind.PLAIN)
