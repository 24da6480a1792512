"""`condset sample`, as it is typed, on an adapter that `condset train` made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.console import condset
from tests.train.tiny_runs import random_picture, save_picture

CONFIG = """
name = "small"
condition = "color"
adapter.kind = "light"
diffusion.kind = "tiny"
loop = {max_steps = 1, batch_size = 1, device = "cpu", dtype = "float32"}
validation.preview_every = 0
"""
PROGRAM = [sys.executable, "-c", "from train.cli import main; main()"]


@pytest.fixture(scope="module")
def run(color_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step."""
    from train.cli import app

    folder = tmp_path_factory.mktemp("sample")
    (folder / "small.toml").write_text(CONFIG)
    arguments = ["train", folder / "small.toml", "--data", color_data, "--out", folder / "run"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return folder / "run"


def test_a_trained_run_draws(run: Path, tmp_path: Path) -> None:
    condition = save_picture(tmp_path / "color.png", random_picture(0))
    out = tmp_path / "pictures"
    arguments = ("sample", "a red circle", "--adapter", run, "--condition", condition, "--out", out)
    options = ("--steps", 2, "--guidance", 1, "--device", "cpu", "--dtype", "float32")
    assert condset(*arguments, *options, "--count", 2) == (
        0,
        f"{out / '0000000.png'} to 0000001.png are drawn; {out / 'sheet-0000000.png'} shows them side by side\n",
        "",
    )
    with Image.open(out / "0000001.png") as image:
        assert (image.size, image.mode) == ((64, 64), "RGB")
    assert condset(*arguments, *options) == (
        2,
        "",
        f"condset: {out / '0000000.png'} must not be there yet, got an older picture; give another --out or --seed\n",
    )
    status, printed, _ = condset(*arguments, *options, "--seed", 7, "--weight", 0.5, "--condition-kind", "color")
    assert (status, printed.split(";")[0]) == (0, f"{out / '0000007.png'} is drawn")


def test_what_does_not_pair_is_one_line(tmp_path: Path) -> None:
    status, printed, said = condset(
        "sample", "x", "--adapter", "a", "--out", tmp_path, "--condition", "b", *["--weight", 1] * 2
    )
    assert (status, printed) == (2, "")
    assert said == (
        "condset: --weight must be given as often as --adapter, 1 times, got 2; they are paired in the order in which "
        "they are typed\n"
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--steps", 0),
        ("--steps", 1000),
        ("--guidance", 0.5),
        ("--active-share", 1.5),
        ("--count", 0),
        ("--seed", -1),
        ("--dtype", "int8"),
        ("--device", "tpu"),
    ],
)
def test_options_out_of_their_range_are_refused(option: str, value: object, tmp_path: Path) -> None:
    status, _, said = condset("sample", "x", "--out", tmp_path, option, value)
    assert status == 2
    assert option in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_the_console_script_draws(run: Path, tmp_path: Path) -> None:
    condition = save_picture(tmp_path / "color.png", random_picture(0))
    options = ["--steps", "2", "--device", "cpu", "--dtype", "float32", "--out", "pictures"]
    result = subprocess.run(
        [*PROGRAM, "sample", "雪の上の a red circle", "--adapter", str(run), "--condition", str(condition), *options],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert result.stdout == ("pictures/0000000.png is drawn; pictures/sheet-0000000.png shows them side by side\n")
    assert result.stderr == ""
    with Image.open(tmp_path / "pictures" / "0000000.png") as image:
        assert '"seed": 0' in image.info["condset"]
