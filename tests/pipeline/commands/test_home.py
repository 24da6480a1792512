"""`~` means the user's home wherever a path can be given, whoever passes it on."""

from pathlib import Path

import pytest

from pipeline.commands.home import expand_home
from pipeline.commands.options import weights_store
from pipeline.config import PrepareConfig, load_config
from pipeline.dataset.storage import Directory
from tests.console import condset


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_arguments_and_values_of_options_are_expanded_and_nothing_else(home: Path) -> None:
    typed = ["sample", "~/a b", "--out=~/data", "~", "--adapter", "a~b", "~nobody-here/x", "~ a cat", "--set=a='~/x'"]
    assert expand_home(typed) == [
        "sample", f"{home}/a b", f"--out={home}/data", f"{home}", "--adapter", "a~b", "~nobody-here/x", "~ a cat",
        "--set=a='~/x'",
    ]  # fmt: skip


def test_a_command_writes_into_the_home_and_makes_no_directory_of_that_name(home: Path) -> None:
    (home / "small.toml").write_text(
        'name = "small"\nannotators = []\n[source]\nkind = "folder"\nroot = "~/pictures"\n[image]\nsize_pixels = 64\n'
    )
    refused = condset("prepare", "~/small.toml", "--out=~/data", "--executor", "inline")
    assert refused.status == 2
    assert f"{home}/pictures" in refused.err
    synthetic = ['--set=source={kind = "synthetic", count = 2, width_pixels = 64, height_pixels = 64}']
    made = condset("prepare", "~/small.toml", "--out=~/data", "--executor", "inline", *synthetic)
    assert made.status == 0, made.err
    assert condset("verify", "~/data").status == 0
    assert (home / "data/dataset.json").is_file()
    assert not (home / "~").exists()


def test_every_place_in_a_configuration_is_expanded(home: Path) -> None:
    (home / "c.toml").write_text(
        'name = "c"\n[source]\nkind = "folder"\nroot = "~/pictures"\nlabels_root = "~/maps"\n'
        '[[annotators]]\nkind = "sketch"\nweights = "~/own.pth"\n'
    )
    tables = load_config(home / "c.toml", [], PrepareConfig).model_dump()
    assert tables["source"]["root"] == f"{home}/pictures"
    assert tables["source"]["labels_root"] == f"{home}/maps"
    assert tables["annotators"][0]["weights"] == f"{home}/own.pth"


def test_a_directory_and_the_store_of_weights_are_below_the_home(home: Path) -> None:
    assert Directory("~/data").location == f"{home}/data"
    assert Directory("s3://bucket/~/data").location == "s3://bucket/~/data"
    assert weights_store(Path("~/weights")).directory == home / "weights"


def test_the_environment_variable_of_the_weights_is_below_the_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDSET_WEIGHTS", "~/weights")
    file = home / "weights/pidinet/table5_pidinet.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"not the published one")
    assert str(file) in " ".join(condset("weights", "check").err.split())
