"""`condset doctor` on this machine, and on machines made from it by PATH, the environment and sys.path."""

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline.doctor import SHOWN, Finding, Level, command, examine, show
from stages.weights.catalogue import MODELS


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights directory, an empty cache and nvidia-smi nowhere."""
    monkeypatch.delenv("CONDSET_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("COLUMNS", "200")


def about(subject: str, findings: list[Finding]) -> Finding:
    """The only finding about `subject`."""
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


def application(ray: Finding | None = None) -> typer.Typer:
    """An application with `doctor` as its only command, and what its check of Ray would find."""
    app = typer.Typer()
    app.command("doctor")(command(lambda: ray or pytest.fail("Ray was started without --ray")))
    return app


def install(directory: Path, name: str, version: str, requirement: str | None = None) -> None:
    """Make an empty distribution that importlib.metadata finds in `directory`."""
    metadata = directory / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata.write_text("\n".join(lines + ([f"Requires-Dist: {requirement}"] if requirement else [])) + "\n")


def test_this_installation_has_every_library() -> None:
    findings = examine()
    assert [finding for finding in findings if finding.level is Level.PROBLEM] == []
    assert {about(name, findings).level for name in SHOWN} == {Level.OK}
    assert {"python", "condset", "processor", "memory", "disk"} <= {finding.subject for finding in findings}


def test_a_library_that_is_missing_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "condset", "0.1.0", "no-such-library>=2.0")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = about("no-such-library", examine())
    assert found == Finding("no-such-library", Level.PROBLEM, "not installed", "install 'no-such-library>=2.0'")


def test_a_library_that_is_too_old_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "webdataset", "0.2.1")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert about("webdataset", examine()) == Finding(
        "webdataset", Level.WARNING, "webdataset 0.2.1", "install 'webdataset>=1.0'"
    )


def test_full_mmcv_beside_the_lite_one_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "mmcv", "2.1.0")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = about("mmcv-lite", examine())
    assert (found.level, found.advice) == (
        Level.WARNING,
        "uninstall all but one and reinstall that one: they hold the same files",
    )
    assert "mmcv 2.1.0" in found.found


def driver(directory: Path, version: str) -> None:
    """Put an nvidia-smi into `directory`/bin that reports a driver of this version."""
    program = directory / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)


@pytest.fixture
def torch_without_gpu() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU here")


@pytest.mark.usefixtures("torch_without_gpu")
def test_without_a_driver_the_processor_is_used_and_that_is_said() -> None:
    found = about("GPU", examine())
    assert (found.level, found.found) == (Level.WARNING, "none: no NVIDIA driver answers here")


@pytest.mark.usefixtures("torch_without_gpu")
def test_a_driver_that_torch_cannot_use_is_a_problem(tmp_path: Path) -> None:
    driver(tmp_path, "470.256.02")
    found = about("GPU", examine())
    assert found.level is Level.PROBLEM
    assert "470.256.02" in found.found


@pytest.mark.usefixtures("torch_without_gpu")
def test_gpus_that_the_environment_hides_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, "580.65.06")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert about("GPU", examine()) == Finding(
        "GPU", Level.WARNING, "none: CUDA_VISIBLE_DEVICES is ''", "unset it to use the GPU"
    )


@pytest.mark.gpu
def test_a_gpu_is_named_with_its_memory() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    assert "GiB, driver" in next(finding.found for finding in examine() if finding.subject == "GPU")


def test_missing_weights_are_a_warning_with_the_command_that_fetches_them() -> None:
    assert about("weights rtmo_s", examine()) == Finding(
        "weights rtmo_s", Level.WARNING, "missing", "to use it: condset weights fetch rtmo_s"
    )


def test_truncated_weights_are_a_problem(tmp_path: Path) -> None:
    path = tmp_path / MODELS["pidinet"].file
    path.parent.mkdir()
    path.write_bytes(b"short")
    assert about("weights pidinet", examine(tmp_path)) == Finding(
        "weights pidinet",
        Level.PROBLEM,
        f"5 of 2871148 bytes in {path}",
        "delete it and run condset weights fetch pidinet",
    )


def test_servers_are_asked_only_on_request_and_their_silence_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies of its first call
    assert "network" not in {finding.subject for finding in examine()}
    asked = [finding for finding in examine(network=True) if finding.subject == "network"]
    assert {finding.found.split(": ")[1] for finding in asked} == {"Connection refused"}
    assert {finding.level for finding in asked} == {Level.WARNING}
    assert any("download.openmmlab.com" in finding.found for finding in asked)


def test_ray_is_started_only_on_request() -> None:
    assert CliRunner().invoke(application(), []).exit_code == 0
    result = CliRunner().invoke(application(Finding("ray start", Level.OK, "2 CPUs")), ["--ray"])
    assert "2 CPUs" in result.stdout


def test_a_problem_exits_with_2() -> None:
    result = CliRunner().invoke(application(Finding("ray start", Level.PROBLEM, "no", "free a port")), ["--ray"])
    assert result.exit_code == 2
    assert "free a port" in result.stdout


def test_brackets_in_a_finding_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    show([Finding("a", Level.OK, "/data/[red]/x")])
    assert "/data/[red]/x" in capsys.readouterr().out


@pytest.mark.slow
def test_no_library_warns_on_the_terminal() -> None:
    root = Path(__file__).parents[2]
    script = "from pipeline.doctor import examine, show; show(examine())"
    finished = subprocess.run(
        [sys.executable, "-W", "always", "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert finished.stderr == ""
