"""The sheet: one picture of a data set for people. Each row is a sample with all of its conditions and its caption.

                image      sketch      depth      ...
               ┌──────┐   ┌──────┐   ┌──────┐
               │      │   │      │   │      │
               └──────┘   └──────┘   └──────┘
               a cat on a red sofa
               000000000139 in 0000000.tar

A cell is the stored picture, resized and nothing else. Which samples are shown follows from the data set: one of each
stretch of it, the one in which most conditions show something.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont

from pipeline.dataset.ledger import records
from pipeline.dataset.reader import Dataset, open_unfinished
from pipeline.dataset.storage import Directory
from pipeline.inspect.evenly_spaced import evenly_spaced
from pipeline.inspect.sheet_text import choose_caption, fonts, wrap
from pipeline.inspect.statistics import read_picture
from stages.errors import ConfigError, ManifestError, ShardCorrupt
from stages.records import Condition

WIDTH_PIXELS = 1200
"""About the width of a page of text on GitHub and the hub."""
WIDEST_CELL_PIXELS = 256
MARGIN_PIXELS = 16
GAP_PIXELS = 8
ROW_GAP_PIXELS = 20
TEXT_PIXELS = 15
SMALL_TEXT_PIXELS = 12
LINE_SPACING = 1.4

PAPER, FRAME, FAINT_INK, INK = (255, 255, 255), (228, 228, 231), (113, 113, 122), (24, 24, 27)

CANDIDATES_PER_ROW = 12
"""Samples that are looked at for each one that is shown."""

FLAT_CONDITIONS = frozenset({Condition.COLOR, Condition.SEGMENTATION})
"""Made of areas of one colour, which a smooth resize would blend into colours that mean nothing."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample on the sheet."""

    key: str
    shard: str
    pictures: tuple[Image.Image, ...]
    """The image, then each condition, as stored."""
    caption: str
    font: FreeTypeFont
    """Has every character of the caption."""
    interest: int
    """In how many pictures there is something to see, and one more if the caption is the sample's first choice."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The picture, and where the cells are on it."""

    image: Image.Image
    boxes: dict[tuple[str, str], tuple[int, int, int, int]]
    """(key, heading) to left, top, right, bottom."""


def write_sheet(directory: Directory, file: Path, rows: int) -> None:
    """Draw a data set's sheet into a PNG file.

    Raises ManifestError if the data set has no sample yet, ConfigError if the file cannot be written.
    """
    headings, shown = choose_samples(directory, rows)
    if not shown:
        raise ManifestError(f"{directory} must have a sample to show, got none yet; run `condset prepare` again")
    try:
        draw_sheet(headings, shown).image.save(file, "PNG", optimize=True)
    except OSError as error:
        raise ConfigError(
            f"--sheet {file} must be a file that can be written, got {error.strerror or error}; give another name"
        ) from None


def choose_samples(directory: Directory, rows: int) -> tuple[list[str], list[Shown]]:
    """Choose `rows` samples, or all if there are fewer: the most interesting of each stretch of the data set.

    Returns the headings of their pictures, "image" and the conditions (those of layers last), and the samples.
    """
    samples_by_shard = {record.name: len(record.samples) for record in records(directory)}
    dataset = open_unfinished(directory, samples_by_shard)
    shown = {name: spec.shown for name, spec in dataset.specs.items() if spec.shown}
    extensions = {"image": dataset.manifest.image.format} | shown
    candidates = list(evenly_spaced(samples_by_shard, rows * CANDIDATES_PER_ROW))
    rows = min(rows, len(candidates))
    chosen = []
    for row in range(rows):
        stretch = candidates[row * len(candidates) // rows : (row + 1) * len(candidates) // rows]
        read = (_read(dataset, shard, position, list(extensions.values())) for shard, position in stretch)
        chosen.append(max(read, key=lambda shown: shown.interest))
    return list(extensions), chosen


def _read(dataset: Dataset, shard: str, position: int, extensions: list[str]) -> Shown:
    sample = dataset.read(shard, position)
    members = sample.files
    try:
        image = _decode(members[extensions[0]])
        blank = Image.new("RGB", image.size, PAPER)  # a layer may have rejected the sample
        others = (_decode(members[each]) if each in members else blank for each in extensions[1:])
        pictures = (image, *others)
        captions = [sample.caption, *sample.captions]
    except (KeyError, OSError, SyntaxError, TypeError, ValueError) as error:
        raise ShardCorrupt(
            f"{dataset.directory} shard {shard} sample {sample.key} must be readable, got {error!r}; `condset verify` "
            "says what is wrong"
        ) from None
    caption, font = choose_caption(captions, TEXT_PIXELS)
    interest = sum(map(_shows_something, pictures)) + (caption == sample.caption)
    return Shown(sample.key, shard, pictures, caption, font, interest)


def _decode(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as image:
        if image.mode == "I;16":  # Pillow's convert would clip it at 255
            return Image.fromarray(read_picture(content)).convert("RGB")
        return image.convert("RGB")


def _shows_something(picture: Image.Image) -> bool:
    """False for one flat colour, such as a keypose without a person."""
    return picture.getcolors(maxcolors=1) is None


def draw_sheet(headings: Sequence[str], shown: Sequence[Shown]) -> Sheet:
    """Draw samples in rows; `headings` are the columns: "image", then the conditions.

    The sheet is 1200 pixels wide, or as wide as its cells at 256 pixels each. All pictures must have the first one's
    size, as a data set's have.
    """
    columns = len(headings)
    room = WIDTH_PIXELS - 2 * MARGIN_PIXELS - (columns - 1) * GAP_PIXELS
    width = min(WIDEST_CELL_PIXELS, room // columns)
    height = max(1, round(width * shown[0].pictures[0].height / shown[0].pictures[0].width))
    row_width = columns * (width + GAP_PIXELS) - GAP_PIXELS
    captions = [wrap(each.caption, each.font, row_width) for each in shown]
    line, small_line = round(TEXT_PIXELS * LINE_SPACING), round(SMALL_TEXT_PIXELS * LINE_SPACING)
    row_heights = [height + GAP_PIXELS + len(lines) * line + small_line + ROW_GAP_PIXELS for lines in captions]
    total_height = 2 * MARGIN_PIXELS + line + GAP_PIXELS + sum(row_heights) - ROW_GAP_PIXELS
    image = Image.new("RGB", (row_width + 2 * MARGIN_PIXELS, total_height), PAPER)
    draw = ImageDraw.Draw(image)
    lefts = [MARGIN_PIXELS + column * (width + GAP_PIXELS) for column in range(columns)]
    for left, heading in zip(lefts, headings, strict=True):
        draw.text((left, MARGIN_PIXELS), heading, INK, fonts(TEXT_PIXELS)[0])
    boxes = {}
    top = MARGIN_PIXELS + line + GAP_PIXELS
    for each, lines, row_height in zip(shown, captions, row_heights, strict=True):
        for left, heading, picture in zip(lefts, headings, each.pictures, strict=True):
            draw.rectangle((left - 1, top - 1, left + width, top + height), outline=FRAME)
            image.paste(resize(picture, heading, width, height), (left, top))
            boxes[each.key, heading] = (left, top, left + width, top + height)
        y = top + height + GAP_PIXELS
        for text in lines:
            draw.text((MARGIN_PIXELS, y), text, INK, each.font)
            y += line
        draw.text((MARGIN_PIXELS, y), f"{each.key} in shard {each.shard}", FAINT_INK, fonts(SMALL_TEXT_PIXELS)[0])
        top += row_height
    return Sheet(image, boxes)


def resize(picture: Image.Image, heading: str, width: int, height: int) -> Image.Image:
    """Resize a stored picture to its cell: smoothly, but for areas of one colour."""
    resampling = Image.Resampling.NEAREST if heading in FLAT_CONDITIONS else Image.Resampling.LANCZOS
    return picture.resize((width, height), resampling)
