"""The commands as a user types them: what they print, and how they end."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from pipeline.dataset.index import open_index
from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.storage import Directory
from tests.console import condset

ROOT = Path(__file__).parents[2]
SMALL = """
name = "small"
samples_per_shard = 4
[source]
kind = "synthetic"
count = 6
width_pixels = 64
height_pixels = 64
[image]
size_pixels = 64
[[annotators]]
kind = "color"
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def data_set(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "data"
    result = condset("prepare", config, "--out", out, "--executor", "inline")
    assert result.status == 0, result.err
    assert result.out.startswith(f"{out} is complete: 6 samples in 2 shards, none rejected; ")
    return out


def test_a_finished_data_set_is_recognised(config: Path, data_set: Path) -> None:
    result = condset("prepare", config, "--out", data_set)  # Ray by default: it is not even started
    assert result.status == 0
    assert result.out == f"{data_set} is complete already: 6 samples in 2 shards, none rejected\n"


def test_a_limit_lists_only_the_first_rows_and_the_data_set_says_so(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    result = condset("prepare", config, "--out", out, "--executor", "inline", "--limit", "5")
    assert result.status == 0, result.err
    assert result.out.startswith(f"{out} is complete: 5 samples in 2 shards, none rejected; ")
    assert "5 candidates" in result.err.splitlines()
    directory = Directory(str(out))
    assert open_index(directory).rows == 5
    manifest = read_manifest(directory)
    assert (manifest.config["limit"], manifest.totals.rows, manifest.totals.samples) == (5, 5, 5)
    without = condset("prepare", config, "--out", out, "--executor", "inline")
    assert without.status == 2
    assert "must hold this data set, got another one (limit 5 there, 0 here); give another --out" in without.err


def test_verify_says_what_it_checked(data_set: Path) -> None:
    result = condset("verify", data_set, "--deep")
    assert result.status == 0
    assert result.out.startswith(f"{data_set} is sound: 6 samples in 2 shards, every hash, count and member and every")


def test_verify_ends_with_1_for_an_unsound_data_set(data_set: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(data_set, copy)
    (copy / "shards/0000001.tar").unlink()
    result = condset("verify", copy)
    assert result.status == 1
    assert "shard 0000001" in result.out
    assert "is unsound: " in result.out.splitlines()[-1]
    for_programs = condset("verify", copy, "--json")
    assert for_programs.status == 1
    found = json.loads(for_programs.out)
    assert (found["sound"], found["problems"][0]["shard"]) == (False, "0000001")
    assert result.out.startswith(f"shard 0000001: {found['problems'][0]['what']}\n")


def test_verify_tells_programs_that_a_data_set_is_sound(data_set: Path) -> None:
    result = condset("verify", data_set, "--json")
    assert result.status == 0
    counts = {"shards": 2, "samples": 6, "problems": []}
    assert json.loads(result.out) == {"dataset": str(data_set), "sound": True, "deep": False, **counts}


def test_the_version_is_the_installed_ones() -> None:
    assert condset("--version").out == f"condset {metadata.version('condset')}\n"


def test_the_tab_key_completes_commands() -> None:
    # What a shell asks once `condset --install-completion` has told it how.
    question = {"_CONDSET_COMPLETE": "complete_bash", "COMP_WORDS": "condset ve", "COMP_CWORD": "1"}
    program = "import sys; sys.argv = ['condset']; from train.cli import main; main()"
    answer = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | question,
    )
    assert answer.stdout.split() == ["verify"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "{tmp}", "--set", "image.quality=500"], "image.quality: Input should be less than or equal to 100"),
        (["--out", "{tmp}", "--set", "source.kind='none'"], "does not match any of the expected tags"),
        (["--out", "{tmp}", "--device", "cuda", "--executor", "inline"], "device must be one that this machine has"),
        (["--out", "{tmp}", "--executor", "inline", "--ray-address", "x"], "--ray-address must go with --executor ray"),
        (
            ["--out", "{tmp}", "--onto", "{tmp}"],
            "prepare must be given either --out DIR for a new data set or --onto DATASET for a layer, got both",
        ),
        ([], "for a layer, got neither"),
        (["--onto", "{tmp}"], "dataset.json must be a data set's manifest, got none"),
        (
            ["--onto", "{tmp}", "--retry-rejected", "timeout"],
            "--retry-rejected must be given with --out, got --onto; what a layer rejects would be rejected again",
        ),
    ],
)
def test_what_the_user_must_change_is_one_line_and_exit_2(
    config: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = condset("prepare", config, *(each.format(tmp=tmp_path / "out") for each in arguments))
    assert result.status == 2
    *before, last = result.err.splitlines()
    assert last.startswith("condset: ")
    assert message in last
    assert before in ([], ["listing synthetic", "6 candidates"])
