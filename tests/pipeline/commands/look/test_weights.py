"""`condset weights`: what it prints and how it exits."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline.commands.look.weights import app, check_models, fetch_models, print_models
from stages.errors import WeightsError
from stages.weights.catalogue import MODELS, Model
from stages.weights.store import WeightsStore

CONTENT = b"the parameters of a small network"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SMALL = {
    name: Model(name, "a network", "a paper", "MIT", f"a/{name}.pth", f"http://127.0.0.1:9/{name}.pth", SHA256[:8])
    for name in ("first", "second")
}
"""Two models whose server does not answer."""


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights directory is set, and the cache is an empty one."""
    monkeypatch.delenv("CONDSET_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")


def put(directory: Path, name: str, content: bytes = CONTENT) -> Path:
    path = directory / "a" / f"{name}.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def small_store(directory: Path) -> WeightsStore:
    return WeightsStore(directory, allow_network=False, models=SMALL)


def test_the_list_says_where_each_model_is_or_that_it_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path, "second", b"x" * 1_500_000)
    print_models(small_store(tmp_path))
    lines = {name: line for line in capsys.readouterr().out.splitlines() for name in SMALL if f" {name} " in line}
    assert [word in lines["first"] for word in ("missing", "unknown", "MIT", SHA256[:8])] == [True] * 4
    assert "1.5 MB" in lines["second"]
    assert str(path) in lines["second"]


def test_the_list_has_every_model_that_condset_loads() -> None:
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 0
    assert [name for name in MODELS if f" {name} " not in result.stdout] == []


def test_the_directory_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDSET_WEIGHTS", str(tmp_path))
    path = tmp_path / MODELS["dpt_hybrid"].file
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 2
    assert result.stderr.startswith("weights of dpt_hybrid must have sha256 501f0c75b3bca7daec6b3682c5054c09")
    assert f"got {SHA256} in {path}; delete" in result.stderr


def test_check_prints_one_line_for_each_bad_file_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [put(tmp_path, name, b"broken") for name in SMALL]
    with pytest.raises(typer.Exit) as exited:
        check_models(small_store(tmp_path))
    assert exited.value.exit_code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    first, second = printed.err.splitlines()
    assert first.startswith(f"weights of first must have sha256 {SHA256[:8]}, got ")
    assert str(bad[0]) in first
    assert str(bad[1]) in second


def test_check_goes_on_after_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "first", b"broken")
    good = put(tmp_path, "second")
    with pytest.raises(typer.Exit):
        check_models(small_store(tmp_path))
    assert capsys.readouterr().out == f"second {SHA256} {good}\n"


def test_check_of_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_models(small_store(tmp_path))
    assert capsys.readouterr().out == "no weights on this machine; `condset weights fetch NAME` downloads them\n"


def test_fetching_all_goes_on_after_a_dead_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cached = put(tmp_path / "cache" / "condset" / "weights", "second")
    with pytest.raises(typer.Exit) as exited:
        fetch_models(WeightsStore(tmp_path / "mine", models=SMALL), ["all"])
    assert exited.value.exit_code == 2
    printed = capsys.readouterr()
    assert "weights of first must be in a file a/first.pth" in printed.err
    assert printed.out == f"second {SHA256} {tmp_path}/mine/a/second.pth\n"
    assert (tmp_path / "mine" / "a" / "second.pth").read_bytes() == cached.read_bytes()


def test_a_misspelt_model_is_an_error_before_the_first_download(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["fetch", "dpt_hybrid", "rtmo_z", "--weights-dir", str(tmp_path)])
    assert isinstance(result.exception, WeightsError)
    assert str(result.exception).startswith("model must be one of pidinet, dpt_hybrid, ")
    assert "got 'rtmo_z'" in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize("module", ["pipeline.commands.look.weights", "pipeline.commands.look.doctor"])
def test_the_help_page_imports_nothing_heavy(module: str) -> None:
    heavy = ("torch", "numpy", "huggingface_hub", "psutil", "filelock", "pydantic", "rich.table", "urllib.request")
    script = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[4], capture_output=True, text=True, check=True
    )
    assert finished.stdout == "[]\n"
