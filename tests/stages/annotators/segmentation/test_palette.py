from pathlib import Path

import numpy as np
from PIL import Image

from stages.annotators.segmentation.palette import palette


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


def test_the_reference_picture_decodes_to_a_motorcycle_on_grass_before_a_tree(shared: Path) -> None:
    picture_hwc = np.asarray(Image.open(shared / "golden/t2i_adapter/segmentation/motor.png").convert("RGB"))
    ids = {tuple(palette()[3 * category : 3 * category + 3]): category for category in range(183)}
    colors, counts = np.unique(picture_hwc.reshape(-1, 3), axis=0, return_counts=True)
    areas = {ids[tuple(color)]: count for color, count in zip(colors.tolist(), counts, strict=True) if count > 1000}
    assert areas.keys() == {4, 97, 124, 128, 169}  # motorcycle, bush, grass, house, tree
    assert sum(areas.values()) > 0.98 * counts.sum()  # the rest are blends of a bilinear resize
