"""A grid of pictures for people: named columns, one row for each sample with its caption below.

 condition    without     with
┌────────┐  ┌────────┐  ┌────────┐
└────────┘  └────────┘  └────────┘
a red circle on the grass
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from pipeline.inspect.sheet_text import choose_caption, fonts, wrap
from stages.records import UInt8Array

CELL_PIXELS = 192
GAP_PIXELS = 8
MARGIN_PIXELS = 16
TEXT_PIXELS = 14
LINE_PIXELS = 20
PAPER, INK = (255, 255, 255), (24, 24, 27)


@dataclass(frozen=True, slots=True)
class GridRow:
    """One sample: a picture for each column, (height, width, 3) RGB, all of one size."""

    pictures: Sequence[UInt8Array]
    caption: str


def draw_grid(columns: Sequence[str], rows: Sequence[GridRow]) -> Image.Image:
    """Draw rows of pictures under their columns' names; small pictures are enlarged without smoothing."""
    height, width = rows[0].pictures[0].shape[:2]
    cell = (CELL_PIXELS, max(1, round(CELL_PIXELS * height / width)))
    page_width = 2 * MARGIN_PIXELS + len(columns) * (cell[0] + GAP_PIXELS) - GAP_PIXELS
    captions = []
    for row in rows:
        caption, font = choose_caption([row.caption or "(no caption)"], TEXT_PIXELS)
        captions.append((wrap(caption, font, page_width - 2 * MARGIN_PIXELS), font))
    heights = [cell[1] + LINE_PIXELS * len(lines) + 2 * GAP_PIXELS for lines, _ in captions]
    page = Image.new("RGB", (page_width, 2 * MARGIN_PIXELS + LINE_PIXELS + sum(heights)), PAPER)
    draw = ImageDraw.Draw(page)
    top = MARGIN_PIXELS
    for number, column in enumerate(columns):
        left = MARGIN_PIXELS + number * (cell[0] + GAP_PIXELS)
        draw.text((left, top), column, INK, fonts(TEXT_PIXELS)[0])
    top += LINE_PIXELS
    resample = Image.Resampling.NEAREST if width < CELL_PIXELS else Image.Resampling.LANCZOS
    for row, (lines, font), row_height in zip(rows, captions, heights, strict=True):
        for number, picture in enumerate(row.pictures):
            left = MARGIN_PIXELS + number * (cell[0] + GAP_PIXELS)
            page.paste(Image.fromarray(np.ascontiguousarray(picture)).resize(cell, resample), (left, top))
        for number, line in enumerate(lines):
            draw.text((MARGIN_PIXELS, top + cell[1] + 4 + number * LINE_PIXELS), line, INK, font)
        top += row_height
    return page
