"""Data sets of format 1, as they are met by whoever types a command: `condset upgrade` is the one that reads them."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.console import condset
from tests.pipeline.conftest import tree
from tests.pipeline.upgrade.format_1 import make_format_1
from tests.train.conftest import prepare_scenes
from tests.train.tiny_runs import write_tiny_run

if TYPE_CHECKING:
    from train.base.stable_diffusion import StableDiffusion

PREPARE = """
name = "scenes"
[source]
kind = "synthetic"
count = 3
[[annotators]]
kind = "canny"
"""
TRAIN = """
name = "typed"
condition = "color"
[diffusion]
kind = "tiny"
[loop]
max_steps = 2
"""
COMMANDS = (
    "verify DATA",
    "verify DATA --deep",
    "inspect DATA",
    "push DATA user/name",
    "compact DATA --out OUT",
    "select DATA --out OUT --split 1",
    "remove DATA --keys KEYS",
    "encode DATA --model MODEL --executor inline",
    "train TRAIN --data DATA --out OUT",
    "eval RUN --data DATA --out OUT",
    "prepare PREPARE --out DATA --executor inline",
    "prepare PREPARE --onto DATA --executor inline",
    "prepare PREPARE --out DATA --retry-rejected timeout --executor inline",
)


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = prepare_scenes(tmp_path_factory.mktemp("former") / "data")
    make_format_1(data)
    return data


@pytest.fixture(scope="module")
def run(tiny_base: "StableDiffusion", tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    write_tiny_run(folder, tiny_base)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_every_other_command_refuses_it_in_one_line_and_leaves_it_alone(
    command: str, former: Path, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "prepare.toml").write_text(PREPARE)
    (tmp_path / "train.toml").write_text(TRAIN)
    (tmp_path / "keys.txt").write_text("000000000\n")
    places = {
        "DATA": former,
        "RUN": run,
        "OUT": tmp_path / "out",
        "KEYS": tmp_path / "keys.txt",
        "MODEL": tmp_path / "model",
        "PREPARE": tmp_path / "prepare.toml",
        "TRAIN": tmp_path / "train.toml",
    }
    before = tree(former)
    status, printed, said = condset(*(places.get(word, word) for word in command.split()))
    what = (
        f"{former}/dataset.json must have format 2, got 1; `condset upgrade {former}` brings it over and touches no tar"
    )
    assert (status, printed, said) == (2, "", f"condset: {what}\n")
    assert tree(former) == before


def test_upgrade_says_what_it_did_and_then_that_there_is_nothing_to_do(former: Path, tmp_path: Path) -> None:
    data = shutil.copytree(former, tmp_path / "data")
    status, printed, said = condset("upgrade", data)
    assert (status, printed) == (0, f"{data} is of format 2 now; no tar was touched\n")
    assert said == "writing the index of 24 candidates in parts\n"
    assert condset("upgrade", data) == (0, f"{data} is of format 2 already\n", "")
    assert condset("verify", data)[0] == 0
