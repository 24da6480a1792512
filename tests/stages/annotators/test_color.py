from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from stages.annotators.color import color_map


def test_the_map_is_the_recipes_two_resizes_on_real_photographs(shared: Path) -> None:
    for path in sorted((shared / "data/coco17/val2017").glob("*.jpg"))[:5]:
        image_hwc = np.asarray(Image.open(path).convert("RGB").resize((512, 384)))
        small = cv2.resize(image_hwc, (512 // 64, 384 // 64), interpolation=cv2.INTER_CUBIC)
        expected = cv2.resize(small, (512, 384), interpolation=cv2.INTER_NEAREST)
        assert np.array_equal(color_map(image_hwc), expected)


def test_the_reference_files_squares_are_reproduced(shared: Path) -> None:
    golden_hwc = np.asarray(Image.open(shared / "golden/t2i_adapter/color/color_0000.png").convert("RGB"))
    assert np.array_equal(color_map(golden_hwc), golden_hwc)


def test_each_square_has_one_colour() -> None:
    image_hwc = np.random.default_rng(0).integers(0, 256, (128, 192, 3), np.uint8)
    squares = color_map(image_hwc).reshape(2, 64, 3, 64, 3)
    assert (squares == squares[:, :1, :, :1]).all()


def test_smaller_squares_are_the_same_two_resizes() -> None:
    image_hwc = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    small = cv2.resize(image_hwc, (128 // 8, 64 // 8), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(color_map(image_hwc, 8), cv2.resize(small, (128, 64), interpolation=cv2.INTER_NEAREST))
