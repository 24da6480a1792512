"""`condset train` as a user types it: what it prints, and how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONFIG = """
name = "typed"
condition = "color"
[adapter]
kind = "light"
[diffusion]
kind = "tiny"
[loop]
max_steps = 2
batch_size = 2
device = "cpu"
dtype = "float32"
[validation]
preview_every = 0
"""


def condset(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = "from train.cli import main; main()"
    environment = os.environ | {"COLUMNS": "120", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("config") / "typed.toml"
    path.write_text(CONFIG)
    return str(path)


@pytest.mark.slow
def test_a_run_says_what_it_is_what_it_did_and_what_comes_next(config: str, color_data: Path, tmp_path: Path) -> None:
    arguments = ("train", config, "--data", str(color_data), "--out", str(tmp_path / "run"))
    result = condset(*arguments)
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines() == [
        "light adapter for color, 118,696 parameters, on cpu in float32; 24 samples, images through the VAE; "
        "step 0 of 2"
    ]
    assert result.stdout.startswith(f"{tmp_path}/run is complete: 2 steps, ")
    assert f"`condset export {tmp_path}/run --format diffusers --out DIR` makes the adapter" in result.stdout
    again = condset(*arguments)
    assert (again.returncode, again.stdout) == (0, f"{tmp_path}/run is complete already: 2 steps, step-0000002\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ray-address", "auto"), "--ray-address must go with --workers of at least 2, got 1; leave it out"),
        (("--set", "optimizer.lr=-1"), "optimizer.lr"),
        (("--set", 'condition="latents"'), "condition must be one that an adapter is trained on, got 'latents'"),
    ],
)
def test_what_the_user_must_change_is_one_line_and_exit_2(
    config: str, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = condset("train", config, "--data", "nowhere", "--out", str(tmp_path / "run"), *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("condset: ")
    assert message in line


def test_a_data_set_that_is_not_there_is_named(config: str, tmp_path: Path) -> None:
    result = condset("train", config, "--data", "nowhere", "--out", str(tmp_path / "run"))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("condset: nowhere")
    assert not (tmp_path / "run").exists()
