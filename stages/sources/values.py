"""Values as people write them into JSON, CSV and columns, read in one way by every source.

7, "7", 7.0, "007"  ──identity──> 7          "CC BY", 4  ──text_of_value──> "CC BY", "4"
640, "640", 640.0   ──pixels_of_value──> 640, and 0 for whatever else
"""

import math
from typing import TypeAlias

from stages.sources.caption_text import readable_text

Identity: TypeAlias = int | str

LARGEST_SIZE_PIXELS = 2**31 - 1


def identity(value: object) -> Identity | None:
    """What an id is known by, however it is written: a whole number if it is one, else its text; None if it is no id.

    Files refer to one another by ids, and one may hold 139 where another has "000000000139".
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, int):
        return value
    text = readable_text(value)
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else text or None


def text_of_value(value: object) -> str:
    """A text, or a number as one; empty if there is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if math.isfinite(value) else ""
    return readable_text(value) or ""


def pixels_of_value(value: object) -> int:
    """A size in pixels; 0 if the value is none."""
    number = identity(value)
    return number if isinstance(number, int) and 0 < number <= LARGEST_SIZE_PIXELS else 0
