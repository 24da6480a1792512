"""`condset train` as a user types it: what it prints, and how it ends."""

from pathlib import Path

import pytest

from tests.console import condset

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


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("config") / "typed.toml"
    path.write_text(CONFIG)
    return str(path)


def test_a_run_says_what_it_is_what_it_did_and_what_comes_next(config: str, color_data: Path, tmp_path: Path) -> None:
    arguments = ("train", config, "--data", color_data, "--out", tmp_path / "run")
    result = condset(*arguments)
    assert result.status == 0, result.err
    assert result.err.splitlines() == [
        "light adapter for color, 118,696 parameters, on cpu in float32; 24 samples, images through the VAE; "
        "step 0 of 2"
    ]
    assert result.out.startswith(f"{tmp_path}/run is complete: 2 steps, ")
    assert f"`condset export {tmp_path}/run --format diffusers --out DIR` makes the adapter" in result.out
    again = condset(*arguments)
    assert (again.status, again.out) == (0, f"{tmp_path}/run is complete already: 2 steps, step-0000002\n")


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
    result = condset("train", config, "--data", "nowhere", "--out", tmp_path / "run", *arguments)
    assert (result.status, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith("condset: ")
    assert message in line


def test_a_data_set_that_is_not_there_is_named(config: str, tmp_path: Path) -> None:
    result = condset("train", config, "--data", "nowhere", "--out", tmp_path / "run")
    assert result.status == 2
    (line,) = result.err.splitlines()
    assert line.startswith("condset: nowhere")
    assert not (tmp_path / "run").exists()
