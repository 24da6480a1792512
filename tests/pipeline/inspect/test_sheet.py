"""The sheet: its size, its cells, the samples it shows and the captions it can draw."""

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont
from PIL.ImageFont import FreeTypeFont

from pipeline.dataset.ledger import make_folders, records
from pipeline.dataset.manifest import read_manifest, write_manifest
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.shards import commit_shard, read_sample
from pipeline.dataset.storage import Directory
from pipeline.inspect.sheet import (
    CANDIDATES_PER_ROW,
    GAP_PIXELS,
    MARGIN_PIXELS,
    PAPER,
    WIDEST_CELL_PIXELS,
    WIDTH_PIXELS,
    Shown,
    choose_samples,
    draw_sheet,
    resize,
    write_sheet,
)
from pipeline.inspect.sheet_text import can_draw, choose_caption, fonts, wrap
from stages.annotators.keypose.annotator import KeyposeConfig
from stages.errors import ConfigError, ManifestError
from stages.image.encode import encode_png
from stages.records import EncodedSample
from tests.pipeline.conftest import Make, Run

NONCHARACTER = "\U000ffffe"
"""No font has it, for ever."""


@pytest.fixture(scope="module")
def scenes(make_config: Make, run_inline: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sheet") / "scenes"
    image = {"size_pixels": [128, 64]}
    run_inline(make_config(image=image, annotators=[{"kind": "color"}, {"kind": "segmentation"}]), out)
    return out


def own_font() -> FreeTypeFont:
    font = ImageFont.load_default(14)
    assert isinstance(font, FreeTypeFont)
    return font


def test_every_cell_is_the_stored_picture_resized(scenes: Path) -> None:
    directory = Directory(str(scenes))
    headings, shown = choose_samples(directory, 3)
    sheet = draw_sheet(headings, shown)
    entries = {entry.key: (record, entry) for record in records(directory) for entry in record.samples}
    compared = 0
    for (key, heading), box in sheet.boxes.items():
        members = read_sample(directory, *entries[key])
        content = members["jpg" if heading == "image" else f"{heading}.png"]
        with Image.open(io.BytesIO(content)) as picture:
            smooth = Image.Resampling.LANCZOS if heading == "image" else Image.Resampling.NEAREST
            expected = picture.convert("RGB").resize((256, 128), smooth)
        assert np.array_equal(np.asarray(sheet.image.crop(box)), np.asarray(expected))
        compared += 1
    assert compared == 9


def test_few_columns_have_the_widest_cells(scenes: Path) -> None:
    headings, shown = choose_samples(Directory(str(scenes)), 1)
    assert headings == ["image", "color", "segmentation"]
    assert draw_sheet(headings, shown).image.width == 3 * WIDEST_CELL_PIXELS + 2 * GAP_PIXELS + 2 * MARGIN_PIXELS


def test_many_columns_share_the_width_of_a_page() -> None:
    pictures = (Image.new("RGB", (512, 256), (9, 9, 9)),) * 7
    headings = ["image", "sketch", "depth", "keypose", "color", "segmentation", "canny"]
    sheet = draw_sheet(headings, [Shown("a", "0000000.tar", pictures, "caption", own_font(), 0)])
    assert WIDTH_PIXELS - len(headings) < sheet.image.width <= WIDTH_PIXELS
    widths = {right - left for left, _, right, _ in sheet.boxes.values()}
    heights = {bottom - top for _, top, _, bottom in sheet.boxes.values()}
    assert (widths, heights) == ({160}, {80})


def test_cells_do_not_touch_and_lie_on_the_sheet(scenes: Path) -> None:
    sheet = draw_sheet(*choose_samples(Directory(str(scenes)), 4))
    covered = np.zeros((sheet.image.height, sheet.image.width), np.uint8)
    for left, top, right, bottom in sheet.boxes.values():
        covered[top - 2 : bottom + 2, left - 2 : right + 2] += 1
    assert covered.max() == 1
    assert covered.sum() == len(sheet.boxes) * 260 * 132


def test_areas_of_one_colour_get_no_other_colours() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 30:] = (200, 10, 60)
    picture = Image.fromarray(pixels)
    assert len(resize(picture, "segmentation", 50, 50).getcolors() or ()) == 2
    assert len(resize(picture, "sketch", 50, 50).getcolors() or ()) > 2


def test_the_sheet_is_the_same_every_time(scenes: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_sheet(Directory(str(scenes)), tmp_path / name, 3)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_samples_are_spread_over_the_data_set(scenes: Path) -> None:
    _, shown = choose_samples(Directory(str(scenes)), 4)
    assert [int(each.key) // 3 for each in shown] == [0, 1, 2, 3]


def test_a_small_data_set_shows_all_of_its_samples(scenes: Path) -> None:
    assert len(choose_samples(Directory(str(scenes)), 50)[1]) == 12


def test_samples_with_a_person_are_preferred(data_set: Path, tmp_path: Path) -> None:
    directory = Directory(str(tmp_path / "persons"))
    make_folders(directory)
    manifest = read_manifest(Directory(str(data_set)))
    keypose = replace(manifest.conditions[0], spec=KeyposeConfig().spec, annotator="keypose")
    write_manifest(directory, replace(manifest, conditions=(keypose,)))
    photograph = encode_png(np.arange(64 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(64, 64, 3))
    black = np.zeros((64, 64, 3), np.uint8)
    person = black.copy()
    person[20:40, 30] = 255
    members = {"json": b'{"captions": ["a caption"]}', "txt": b"a caption", "jpg": photograph}
    samples = [
        EncodedSample(
            f"{number:03d}", tuple((members | {"keypose.png": encode_png(picture)}).items()), width=64, height=64
        )
        for number in range(2 * CANDIDATES_PER_ROW)
        for picture in [person if number in (7, 20) else black]
    ]
    plan = ShardPlan(0, 0, len(samples))
    record = next(records(Directory(str(data_set))))
    commit_shard(directory, plan, manifest.fingerprint, record.numerics, samples)
    assert [each.key for each in choose_samples(directory, 2)[1]] == ["007", "020"]


def test_a_caption_that_no_font_can_draw_gives_way_to_another_of_the_sample() -> None:
    caption, font = choose_caption([f"snow {NONCHARACTER}", "snow"], 14)
    assert caption == "snow"
    assert can_draw(font, caption)


def test_a_sample_with_no_other_caption_shows_escapes() -> None:
    caption, font = choose_caption([f"snow {NONCHARACTER}"], 14)
    assert caption == r"snow \U000ffffe"
    assert can_draw(font, caption)


def test_the_first_font_that_has_every_character_is_taken() -> None:
    assert choose_caption(["plain"], 14)[1] is fonts(14)[0]
    for font in fonts(14)[1:]:
        if can_draw(font, "Über"):
            assert choose_caption(["Über"], 14) == ("Über", font)
            break


def test_a_missing_character_is_noticed() -> None:
    assert can_draw(own_font(), "plain text,\twith\nspace")
    assert not can_draw(own_font(), "雪")


def test_lines_break_between_words_and_inside_a_word_that_is_too_long() -> None:
    font = own_font()
    text = "a few short words and then " + "x" * 90 + " end"
    lines = wrap(text, font, 200)
    assert all(font.getlength(line) <= 200 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert lines[0] == "a few short words and then"


def test_a_data_set_without_samples_has_no_sheet(scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes, tmp_path / "data")
    for path in (tmp_path / "data/records").iterdir():
        path.unlink()
    with pytest.raises(ManifestError, match="must have a sample to show, got none yet"):
        write_sheet(Directory(str(tmp_path / "data")), tmp_path / "sheet.png", 6)


def test_a_file_that_cannot_be_written_is_one_line(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        write_sheet(Directory(str(scenes)), tmp_path / "nowhere/sheet.png", 1)
    assert str(caught.value) == (
        f"--sheet {tmp_path}/nowhere/sheet.png must be a file that can be written, got No such file or directory; "
        "give another name"
    )


def test_the_paper_is_white_between_the_cells(scenes: Path) -> None:
    sheet = draw_sheet(*choose_samples(Directory(str(scenes)), 2)).image
    assert {sheet.getpixel((x, sheet.height - 1)) for x in range(sheet.width)} == {PAPER}
