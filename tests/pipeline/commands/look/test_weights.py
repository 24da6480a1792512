"""`condset weights`: what it prints and how it exits."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.commands.look.weights import app
from stages.errors import WeightsError
from stages.weights.catalogue import MODELS, Model

CONTENT = b"the parameters of a small network"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def only_small_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two models whose server does not answer, no weights directory set, and empty caches."""
    monkeypatch.delenv("CONDSET_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in list(MODELS):
        monkeypatch.delitem(MODELS, name)
    for name in ("first", "second"):
        url = f"http://127.0.0.1:9/{name}.pth"
        monkeypatch.setitem(MODELS, name, Model(name, "a network", "a paper", "MIT", f"a/{name}.pth", url, SHA256[:8]))


def put(directory: Path, name: str, content: bytes = CONTENT) -> Path:
    path = directory / "a" / f"{name}.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_list_says_where_each_model_is_or_that_it_is_missing(tmp_path: Path) -> None:
    path = put(tmp_path, "second", b"x" * 1_500_000)
    result = CliRunner().invoke(app, ["list", "--weights-dir", str(tmp_path)])
    assert result.exit_code == 0
    lines = {name: line for line in result.stdout.splitlines() for name in MODELS if f" {name} " in line}
    assert [word in lines["first"] for word in ("missing", "unknown", "MIT", SHA256[:8])] == [True] * 4
    assert "1.5 MB" in lines["second"]
    assert str(path) in lines["second"]


def test_the_directory_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDSET_WEIGHTS", str(tmp_path))
    path = put(tmp_path, "first")
    assert CliRunner().invoke(app, ["check"]).stdout == f"first {SHA256} {path}\n"


def test_check_prints_one_line_for_each_bad_file_and_exits_with_2(tmp_path: Path) -> None:
    bad = [put(tmp_path, name, b"broken") for name in ("first", "second")]
    result = CliRunner().invoke(app, ["check", "--weights-dir", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first.startswith(f"weights of first must have sha256 {SHA256[:8]}, got ")
    assert str(bad[0]) in first
    assert str(bad[1]) in second


def test_check_goes_on_after_a_bad_file(tmp_path: Path) -> None:
    put(tmp_path, "first", b"broken")
    good = put(tmp_path, "second")
    result = CliRunner().invoke(app, ["check", "--weights-dir", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (2, f"second {SHA256} {good}\n")


def test_check_of_nothing_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", "--weights-dir", str(tmp_path)])
    assert (result.exit_code, result.stdout.split(";")[0]) == (0, "no weights on this machine")


def test_fetching_all_goes_on_after_a_dead_link(tmp_path: Path) -> None:
    cached = put(tmp_path / "cache" / "condset" / "weights", "second")
    result = CliRunner().invoke(app, ["fetch", "all", "--weights-dir", str(tmp_path / "mine")])
    assert result.exit_code == 2
    assert "weights of first must be in a file a/first.pth" in result.stderr
    assert result.stdout == f"second {SHA256} {tmp_path}/mine/a/second.pth\n"
    assert (tmp_path / "mine" / "a" / "second.pth").read_bytes() == cached.read_bytes()


def test_a_misspelt_model_is_an_error_before_the_first_download(tmp_path: Path) -> None:
    put(tmp_path, "first")
    result = CliRunner().invoke(app, ["fetch", "first", "secnod", "--weights-dir", str(tmp_path)])
    assert isinstance(result.exception, WeightsError)
    assert str(result.exception).startswith("model must be one of first, second, got 'secnod'")
    assert result.stdout == ""


@pytest.mark.parametrize("module", ["pipeline.commands.look.weights", "pipeline.doctor"])
def test_the_help_page_imports_nothing_heavy(module: str) -> None:
    heavy = ("torch", "numpy", "huggingface_hub", "psutil", "filelock", "pydantic", "rich.table", "urllib.request")
    script = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[4], capture_output=True, text=True, check=True
    )
    assert finished.stdout == "[]\n"
