"""What training reads and writes lies on this machine: a URL is refused, never made a directory of that name."""

from pathlib import Path

import pytest

from tests.console import condset

RUN = ("out/run", "--data", "data")
COMMANDS = {
    "train config": (("train", "URL", "--data", "data", "--out", "out"), "CONFIG"),
    "train": (("train", "train.toml", "--data", "data", "--out", "URL"), "--out"),
    "sample": (("sample", "a red circle", "--out", "URL"), "--out"),
    "sample adapter": (("sample", "a red circle", "--out", "out", "--adapter", "URL"), "--adapter"),
    "sample condition": (("sample", "x", "--out", "out", "--adapter", "run", "--condition", "URL"), "--condition"),
    "export run": (("export", "URL", "--format", "t2i", "--out", "x.pth"), "RUN"),
    "export": (("export", "run", "--format", "t2i", "--out", "URL"), "--out"),
    "eval run": (("eval", "run", "URL", "--data", "data", "--out", "out"), "RUNS"),
    "eval": (("eval", "run", "--data", "data", "--out", "URL"), "--out"),
    "quickstart": (("quickstart", "--out", "URL"), "--out"),
    "train-base": (("train-base", "scenes.toml", "--out", "URL"), "--out"),
}


@pytest.mark.parametrize("url", ["s3://bucket/run", "gs://bucket", "hf://datasets/a/b", "memory://x", "https://a.b/c"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_url_is_refused_in_one_line_and_nothing_is_made(
    name: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, named = COMMANDS[name]
    assert condset(*(url if argument == "URL" else argument for argument in arguments)) == (
        2,
        "",
        f"condset: {named} must be a path on this machine, got {url}; give a local one, and copy what is there\n",
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", ["a:b/run", "run:1", "./s3:x", "C"])
def test_a_colon_alone_makes_no_url(out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, said = condset("train", "none.toml", "--data", "data", "--out", out)
    assert status == 2
    assert "none.toml" in said


@pytest.mark.parametrize("form", ["--out=~/pictures", "--out"])
def test_the_home_is_found_in_every_path_of_training(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "0000000.png").touch()
    out = (form,) if "=" in form else (form, "~/pictures")
    status, _, said = condset("sample", "a red circle", *out)
    assert status == 2
    assert said.startswith(f"condset: {tmp_path}/pictures/0000000.png must not be there yet")
