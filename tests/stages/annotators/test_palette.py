from pathlib import Path

import numpy as np
from PIL import Image

from stages.annotators.palette import palette


def recipes_color(category: int) -> tuple[int, int, int]:
    """The recipe's formula, word for word."""
    red = green = blue = 0
    number = category
    for j in range(7):
        red |= (number & 1) << (7 - j)
        green |= (number >> 1 & 1) << (7 - j)
        blue |= (number >> 2 & 1) << (7 - j)
        number >>= 3
    return red, green, blue


def test_the_183_colours_are_the_recipes_and_unique() -> None:
    colors = [tuple(palette()[3 * category : 3 * category + 3]) for category in range(183)]
    assert colors == [recipes_color(category) for category in range(183)]
    assert len(set(colors)) == 183
    assert colors[0] == (0, 0, 0)


def test_the_reference_picture_decodes_to_grass_motorcycle_and_tree(shared: Path) -> None:
    picture_hwc = np.asarray(Image.open(shared / "golden/t2i_adapter/segmentation/motor.png").convert("RGB"))
    colors, counts = np.unique(picture_hwc.reshape(-1, 3), axis=0, return_counts=True)
    ours = {tuple(palette()[3 * n : 3 * n + 3]): n for n in range(183)}
    found = {ours[tuple(map(int, color))] for color, count in zip(colors, counts, strict=True) if count > 1000}
    assert found == {4, 124, 169}
