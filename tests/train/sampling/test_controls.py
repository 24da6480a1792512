"""An adapter sees a picture from anywhere as it saw the pictures of its training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from safetensors.torch import save_file

from stages.errors import CheckpointError, ConfigError
from stages.image.encode import encode_png
from stages.records import Condition, UInt8Array
from tests.train.small_runs import small_adapter, write_run
from tests.train.tiny_runs import random_picture, save_picture
from train.data.conditions import ConditionsConfig, condition_of_visit, decode_condition
from train.data.visit import Visit
from train.exchange.export import export_run
from train.sampling.condition_file import read_picture
from train.sampling.controls import Control, as_grey, as_seen, open_control, pair_controls

KINDS = [condition for condition in Condition if condition is not Condition.LATENTS]
LEVELS = np.arange(256, dtype=np.uint8).repeat(16).reshape(64, 64)
"""Every level of grey."""


def test_options_are_paired_in_their_order() -> None:
    paths = [Path(name) for name in "abcd"]
    controls = pair_controls(paths[:2], paths[2:], [0.5, -1.0], ["sketch", "depth"])
    assert controls == (
        Control(Path("a"), Path("c"), 0.5, Condition.SKETCH),
        Control(Path("b"), Path("d"), -1.0, Condition.DEPTH),
    )
    assert pair_controls(paths[:1], paths[2:3], [], []) == (Control(Path("a"), Path("c"), 1.0, None),)
    assert pair_controls([], [], [], []) == ()


@pytest.mark.parametrize(
    ("counts", "option", "got"),
    [
        ((2, 1, 0, 0), "--condition", 1),
        ((0, 1, 0, 0), "--condition", 1),
        ((2, 2, 1, 0), "--weight", 1),
        ((0, 0, 1, 0), "--weight", 1),
        ((1, 1, 1, 2), "--condition-kind", 2),
    ],
)
def test_options_that_cannot_be_paired_are_refused(counts: tuple[int, int, int, int], option: str, got: int) -> None:
    adapters, conditions, weights, kinds = counts
    with pytest.raises(
        ConfigError,
        match=f"^{option} must be given as often as --adapter, {adapters} times, got {got}; they are paired in the "
        "order in which they are typed$",
    ):
        pair_controls([Path("a")] * adapters, [Path("c")] * conditions, [1.0] * weights, ["sketch"] * kinds)


@pytest.mark.parametrize("kind", ["scribble", "latents"])
def test_a_condition_that_there_is_not_is_refused(kind: str) -> None:
    with pytest.raises(
        ConfigError,
        match="^--condition-kind must be one of sketch, depth, keypose, color, segmentation, canny, "
        f"got '{kind}'; correct it$",
    ):
        pair_controls([Path("a")], [Path("c")], [], [kind])


@pytest.mark.parametrize(
    ("kind", "channels", "picture"),
    [(kind, channels, LEVELS) for kind in KINDS for channels in (1, 3)]
    + [(kind, 3, random_picture(0)) for kind in KINDS if kind is not Condition.SKETCH],
)
def test_a_stored_condition_is_seen_as_in_training(
    kind: Condition, channels: int, picture: UInt8Array, tmp_path: Path
) -> None:
    content = encode_png(picture)
    (tmp_path / "condition.png").write_bytes(content)
    settings = ConditionsConfig(sketch_threshold=0.25)
    trained = condition_of_visit(decode_condition(content, "x"), kind, settings, channels, Visit(0, 0))
    seen = as_seen(read_picture(tmp_path / "condition.png", None), kind, settings, channels)
    assert np.array_equal(seen, trained)


def test_sixteen_bits_are_rounded_as_in_training(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (64, 64), np.uint16)
    Image.fromarray(deep).save(tmp_path / "depth.png")
    read = read_picture(tmp_path / "depth.png", None)
    assert np.array_equal(read, np.round(deep / 65535 * 255))
    assert np.array_equal(read, decode_condition((tmp_path / "depth.png").read_bytes(), "x"))
    assert as_seen(read, Condition.DEPTH, ConditionsConfig(), 3).shape == (3, 64, 64)


def test_a_photograph_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(random_picture(0, 128, 64)).save(tmp_path / "photo.jpg", exif=exif)
    assert read_picture(tmp_path / "photo.jpg", None).shape == (128, 64, 3)


def test_an_indexed_picture_is_seen_in_its_colours(tmp_path: Path) -> None:
    picture = random_picture(0)
    Image.fromarray(picture).convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(tmp_path / "labels.png")
    assert np.array_equal(read_picture(tmp_path / "labels.png", None), picture)


def test_a_coloured_picture_is_grey_to_an_adapter_of_one_channel() -> None:
    picture = random_picture(0)
    seen = as_seen(picture, Condition.CANNY, ConditionsConfig(), 1)
    assert np.array_equal(seen, np.asarray(Image.fromarray(picture).convert("L"))[None])
    assert np.array_equal(as_grey(np.stack([LEVELS] * 3, axis=2)), LEVELS)


@pytest.mark.parametrize(
    ("settings", "levels"),
    [({}, 128), ({"sketch_threshold": 0.25}, 64), ({"sketch": "random"}, 128), ({"sketch": "soft"}, None)],
)
def test_a_sketch_is_cut_where_its_run_cut_it(settings: dict[str, Any], levels: int | None, tmp_path: Path) -> None:
    write_run(tmp_path / "run", conditions=settings)
    opened = open_control(Control(tmp_path / "run", save_picture(tmp_path / "sketch.png", LEVELS)))
    expected = LEVELS if levels is None else np.where(levels <= LEVELS, 255, 0)
    assert np.array_equal(opened.condition_chw, expected[None])
    assert opened.kind is Condition.SKETCH
    assert opened.run is not None
    assert opened.size_pixels == (64, 64)


def test_an_export_remembers_what_it_was_trained_on_and_a_foreign_file_is_told(tmp_path: Path) -> None:
    picture = save_picture(tmp_path / "sketch.png", LEVELS)
    write_run(tmp_path / "run")
    export_run(tmp_path / "run", "t2i", tmp_path / "ours.safetensors")
    foreign = foreign_file(tmp_path)
    ours = open_control(Control(tmp_path / "ours.safetensors", picture))
    told = open_control(Control(foreign, picture, 1.0, Condition.SKETCH))
    assert ours.run is told.run is None
    assert np.array_equal(ours.condition_chw, np.where(LEVELS > 127, 255, 0)[None])
    assert np.array_equal(told.condition_chw, ours.condition_chw)
    left = open_control(Control(foreign, picture, 1.0, Condition.DEPTH))
    assert np.array_equal(left.condition_chw, LEVELS[None])


def foreign_file(folder: Path, in_channels: int = 1) -> Path:
    """An adapter that does not say what it was trained on."""
    save_file(small_adapter(in_channels=in_channels).state_dict(), folder / "foreign.safetensors")
    return folder / "foreign.safetensors"


def test_the_kind_is_asked_for_only_where_it_matters(tmp_path: Path) -> None:
    foreign = foreign_file(tmp_path)
    edges: UInt8Array = np.where(LEVELS > 127, np.uint8(255), np.uint8(0))
    opened = open_control(Control(foreign, save_picture(tmp_path / "edges.png", edges)))
    assert (opened.kind, opened.condition_chw.tolist()) == (None, edges[None].tolist())
    grey = save_picture(tmp_path / "grey.png", LEVELS)
    with pytest.raises(
        ConfigError,
        match=r"^--condition-kind must be given for \S+foreign\.safetensors, which does not say what it was trained "
        r"on, because \S+grey\.png has levels of grey; sketch makes them black and white, depth leaves them$",
    ):
        open_control(Control(foreign, grey))
    of_three = foreign_file(tmp_path, 3)
    assert np.array_equal(open_control(Control(of_three, grey)).condition_chw, np.stack([LEVELS] * 3))


def test_a_kind_that_the_adapter_was_not_trained_on_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    with pytest.raises(
        ConfigError,
        match=r"^--condition-kind must be sketch, which \S+run was trained on, got depth; leave it out$",
    ):
        open_control(Control(tmp_path / "run", save_picture(tmp_path / "a.png", LEVELS), 1.0, Condition.DEPTH))


def test_a_picture_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--condition \S+none\.png must be a picture, got FileNotFoundError; "):
        read_picture(tmp_path / "none.png", None)
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(
        ConfigError,
        match=r"^--condition \S+text\.png must be a JPEG, PNG, WebP or GIF, got expected JPEG, .*; convert it$",
    ):
        read_picture(tmp_path / "text.png", None)


def test_an_adapter_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere must be a run, a directory of T2IAdapter\.save_pretrained"):
        open_control(Control(tmp_path / "nowhere", save_picture(tmp_path / "a.png", LEVELS)))
