"""A grid shows each picture where its column and row are, and the captions below."""

import numpy as np
import pytest

from stages.records import UInt8Array
from tests.train.tiny_runs import random_picture
from train.sampling.grid import CELL_PIXELS, GAP_PIXELS, MARGIN_PIXELS, PAPER, GridRow, draw_grid

TOP = MARGIN_PIXELS + 20
"""Of the first row, below the columns' names."""


def cell(page: UInt8Array, column: int, top: int, height: int = CELL_PIXELS) -> UInt8Array:
    left = MARGIN_PIXELS + column * (CELL_PIXELS + GAP_PIXELS)
    return page[top : top + height, left : left + CELL_PIXELS]


def has_ink(part: UInt8Array) -> bool:
    return bool((part.min(axis=2) < 128).any())


def test_pictures_are_where_their_column_and_row_are() -> None:
    pictures = [[random_picture(10 * row + column) for column in range(2)] for row in range(2)]
    page = np.asarray(draw_grid(["left", "right"], [GridRow(each, f"row {n}") for n, each in enumerate(pictures)]))
    assert page.shape[1] == 2 * MARGIN_PIXELS + 2 * CELL_PIXELS + GAP_PIXELS
    row_pixels = CELL_PIXELS + 20 + 2 * GAP_PIXELS
    assert page.shape[0] == TOP + 2 * row_pixels + MARGIN_PIXELS
    for row in range(2):
        for column in range(2):
            shown = cell(page, column, TOP + row * row_pixels)
            assert np.array_equal(shown, pictures[row][column].repeat(3, axis=0).repeat(3, axis=1))
        below = page[TOP + row * row_pixels + CELL_PIXELS : TOP + (row + 1) * row_pixels]
        assert has_ink(below)


def test_columns_are_named_above_them() -> None:
    row = GridRow([np.full((64, 64, 3), 255, np.uint8)] * 2, "x")
    named = np.asarray(draw_grid(["left", ""], [row]))[:TOP]
    assert has_ink(named[:, : MARGIN_PIXELS + CELL_PIXELS])
    assert (named[:, MARGIN_PIXELS + CELL_PIXELS :] == PAPER).all()


def test_a_wide_picture_keeps_its_shape_and_a_large_one_is_smoothed() -> None:
    stripes = np.zeros((256, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    page = np.asarray(draw_grid(["x"], [GridRow([stripes], "x")]))
    shown = cell(page, 0, TOP, CELL_PIXELS // 2)
    assert abs(float(shown.mean()) - 127.5) < 2
    assert shown[:, 8:-8].std() < 40
    assert (page[TOP + CELL_PIXELS // 2, MARGIN_PIXELS : MARGIN_PIXELS + 50] == PAPER).all()


def test_a_long_caption_is_wrapped_and_none_is_missing_silently() -> None:
    picture = np.full((64, 64, 3), 255, np.uint8)
    heights = [draw_grid(["x"], [GridRow([picture], caption)]).height for caption in ("short", "word " * 40)]
    assert heights[1] >= heights[0] + 3 * 20
    without = np.asarray(draw_grid(["x"], [GridRow([picture], "")]))
    assert has_ink(without[TOP + CELL_PIXELS :])


@pytest.mark.parametrize("caption", ["雪の上の赤い丸", "\U0001f600 smile", "a\nb\tc"])
def test_no_caption_breaks_the_page(caption: str) -> None:
    page = np.asarray(draw_grid(["x"], [GridRow([np.full((64, 64, 3), 255, np.uint8)], caption)]))
    assert has_ink(page[TOP + CELL_PIXELS :])
