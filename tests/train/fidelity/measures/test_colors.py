"""CIEDE2000 of spatial palettes."""

import itertools

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from stages.annotators.color import color_map
from stages.records import UInt8Array
from tests.train.fidelity.disturbances import noisy, scene, shifted
from train.fidelity.measures.colors import palette_difference


def palette(image_hwc: UInt8Array) -> UInt8Array:
    return color_map(image_hwc)


def test_equal_palettes_do_not_differ() -> None:
    assert palette_difference(palette(scene()), palette(scene())) == 0.0


def test_the_palette_weighs_every_square_once_and_is_scikit_images() -> None:
    """Over whole pictures, whose squares are flat and equally large, the mean is the same."""
    one, other = palette(scene(3, 512)), palette(scene(4, 512))
    expected = np.mean(deltaE_ciede2000(rgb2lab(one), rgb2lab(other)))  # type: ignore[no-untyped-call]
    assert palette_difference(one, other) == pytest.approx(expected)
    assert expected > 1


def test_a_published_pair_has_its_published_difference() -> None:
    """White and black differ by 100: lightness alone."""
    white, black = np.full((64, 64, 3), 255, np.uint8), np.zeros((64, 64, 3), np.uint8)
    assert palette_difference(white, black) == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize("disturbance", ["shift", "noise"])
def test_more_disturbance_differs_more(disturbance: str) -> None:
    differences = np.mean([_differences(scene(index, 512), disturbance) for index in range(4)], axis=0)
    assert differences[0] == 0
    assert all(one < other for one, other in itertools.pairwise(differences)), differences


def _differences(picture: UInt8Array, disturbance: str) -> list[float]:
    if disturbance == "shift":
        disturbed = [shifted(picture, pixels) for pixels in (0, 8, 16, 32)]
    else:
        disturbed = [noisy(picture, strength) for strength in (0, 0.2, 0.4, 0.8)]
    return [palette_difference(palette(picture), palette(each)) for each in disturbed]
