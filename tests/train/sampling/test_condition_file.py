"""Transparent condition pictures: what is behind them is the background of their condition, never a guess."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from stages.errors import ConfigError
from stages.records import Condition, UInt8Array
from train.sampling.condition_file import read_picture
from train.sampling.controls import KINDS

WHITE, CLEAR_WHITE, CLEAR_BLACK = (255, 255, 255, 255), (255, 255, 255, 0), (0, 0, 0, 0)


def drawing(line: tuple[int, int, int, int], elsewhere: tuple[int, int, int, int]) -> Image.Image:
    """A line across the upper half of 64 x 32 pixels."""
    picture = Image.new("RGBA", (64, 32), elsewhere)
    picture.paste(line, (0, 8, 64, 10))
    return picture


def seen(background: int, line: int) -> UInt8Array:
    expected = np.full((32, 64, 3), background, np.uint8)
    expected[8:10] = line
    return expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".png", ".webp"])
@pytest.mark.parametrize("behind", [CLEAR_WHITE, CLEAR_BLACK])
def test_a_line_on_nothing_is_one_on_the_background_of_its_condition(
    behind: tuple[int, int, int, int], suffix: str, kind: Condition, tmp_path: Path
) -> None:
    file = tmp_path / f"line{suffix}"
    drawing((128, 128, 128, 255), behind).save(file, lossless=True)
    assert np.array_equal(read_picture(file, kind), seen(255 if kind is Condition.COLOR else 0, 128))


@pytest.mark.parametrize("mode", ["LA", "P"])
def test_other_ways_to_say_transparent_are_read_alike(mode: str, tmp_path: Path) -> None:
    file = tmp_path / "line.png"
    picture = drawing(WHITE, CLEAR_BLACK)
    if mode == "LA":
        picture.convert("LA").save(file)
    else:
        indexed = Image.new("P", picture.size, 0)
        indexed.putpalette([200, 10, 10, 255, 255, 255])
        indexed.paste(1, (0, 8, 64, 10))
        indexed.save(file, transparency=0)
    assert np.array_equal(read_picture(file, Condition.SKETCH), seen(0, 255))


def test_half_transparent_is_half_of_the_background(tmp_path: Path) -> None:
    drawing((200, 200, 200, 128), CLEAR_WHITE).save(tmp_path / "line.png")
    assert np.array_equal(read_picture(tmp_path / "line.png", Condition.SKETCH), seen(0, 100))


def test_an_alpha_channel_that_is_opaque_changes_nothing(tmp_path: Path) -> None:
    drawing(WHITE, (10, 20, 30, 255)).save(tmp_path / "line.png")
    assert np.array_equal(read_picture(tmp_path / "line.png", None)[0, 0], (10, 20, 30))


def test_it_is_turned_upright_as_opaque_ones_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    drawing(WHITE, CLEAR_WHITE).save(tmp_path / "line.png", exif=exif)
    opaque = io.BytesIO()
    drawing(WHITE, (0, 0, 0, 255)).save(opaque, "PNG", exif=exif)
    (tmp_path / "opaque.png").write_bytes(opaque.getvalue())
    assert np.array_equal(
        read_picture(tmp_path / "line.png", Condition.CANNY), read_picture(tmp_path / "opaque.png", Condition.CANNY)
    )


@pytest.mark.parametrize(
    ("line", "kind", "background"),
    [((0, 0, 0, 255), Condition.SKETCH, "black"), (WHITE, Condition.COLOR, "white"), (CLEAR_BLACK, "depth", "black")],
)
def test_a_drawing_of_which_nothing_is_left_is_refused(
    line: tuple[int, int, int, int], kind: Condition, background: str, tmp_path: Path
) -> None:
    drawing(line, CLEAR_WHITE).save(tmp_path / "line.png")
    with pytest.raises(
        ConfigError,
        match=rf"^--condition \S+line\.png must show something on {background}, which its transparent pixels become "
        rf"for {kind}, got one plain colour; draw it on an opaque background$",
    ):
        read_picture(tmp_path / "line.png", Condition(kind))


def test_it_is_asked_for_where_nobody_knows_the_background(tmp_path: Path) -> None:
    drawing(WHITE, CLEAR_WHITE).save(tmp_path / "line.png")
    with pytest.raises(
        ConfigError,
        match=r"^--condition \S+line\.png must be opaque where the kind of its condition is not known, got transparent "
        r"pixels; give --condition-kind, or put it on the background that the adapter was trained with$",
    ):
        read_picture(tmp_path / "line.png", None)


def test_a_transparent_level_of_sixteen_bits_is_refused(tmp_path: Path) -> None:
    levels = np.arange(64 * 32, dtype=np.uint16).reshape(32, 64)
    Image.fromarray(levels).save(tmp_path / "depth.png", transparency=7)
    with pytest.raises(ConfigError, match=r"must be opaque in grey of 16 bits, got transparent pixels; put it on the"):
        read_picture(tmp_path / "depth.png", Condition.DEPTH)
