"""Captions on the sheet: in a font that has every character of them, broken into lines.

Pillow's own font has ASCII and little more. A caption that needs more is drawn with a font of this machine if one has
all of its characters; the invariant is that no character is drawn as the font's empty box.
"""

from collections.abc import Iterable
from functools import lru_cache

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

FONT_FILES = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "arial.ttf")
"""Looked for by name in the system's font directories."""
NO_CHARACTER = "\U0010ffff"
"""The last code point, which is no character for ever: every font draws its empty box."""


def choose_caption(captions: Iterable[str], size_pixels: int) -> tuple[str, FreeTypeFont]:
    """Return the first caption that some font here can draw, and that font.

    If there is none, the first caption with the characters outside of ASCII written as escapes, such as \\u96ea.
    """
    captions = list(captions)
    for caption in captions:
        for font in fonts(size_pixels):
            if can_draw(font, caption):
                return caption, font
    return captions[0].encode("ascii", "backslashreplace").decode(), fonts(size_pixels)[0]


@lru_cache
def fonts(size_pixels: int) -> tuple[FreeTypeFont, ...]:
    """Pillow's own font, then those that are installed here."""
    found = [ImageFont.load_default(size_pixels)]
    for file in FONT_FILES:
        try:
            found.append(ImageFont.truetype(file, size_pixels))
        except OSError:
            continue
    return tuple(font for font in found if isinstance(font, FreeTypeFont))


def can_draw(font: FreeTypeFont, text: str) -> bool:
    """Tell whether the font has every character of a text."""
    missing = bytes(font.getmask(NO_CHARACTER))
    return all(character.isspace() or bytes(font.getmask(character)) != missing for character in set(text))


def wrap(text: str, font: FreeTypeFont, width_pixels: float) -> list[str]:
    """Break a text into lines that are no wider than `width_pixels`: between words, or inside one that is too long."""
    lines = [""]
    for word in text.split():
        extended = f"{lines[-1]} {word}".lstrip()
        if font.getlength(extended) <= width_pixels:
            lines[-1] = extended
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if lines[-1] and font.getlength(lines[-1] + character) > width_pixels:
                lines.append("")
            lines[-1] += character
    return lines
