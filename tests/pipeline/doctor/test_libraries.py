"""What is installed, judged on this machine and with distributions that a test puts on its path."""

from pathlib import Path

import pytest

from pipeline.doctor.finding import Finding, Level
from pipeline.doctor.libraries import SHOWN, examine_libraries


def about(subject: str) -> Finding:
    """The only finding about `subject`."""
    (found,) = [finding for finding in examine_libraries() if finding.subject == subject]
    return found


def install(directory: Path, name: str, version: str, requirement: str | None = None) -> None:
    """Make an empty distribution that importlib.metadata finds in `directory`."""
    metadata = directory / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata.write_text("\n".join(lines + ([f"Requires-Dist: {requirement}"] if requirement else [])) + "\n")


def test_this_installation_has_every_library() -> None:
    assert not [finding for finding in examine_libraries() if finding.level is not Level.OK]
    assert {finding.subject for finding in examine_libraries()} == {
        *SHOWN,
        "condset",
        "extra keypose",
        "extra eval",
        "extra s3",
    }


def test_a_library_that_is_missing_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "condset", "0.1.0", "no-such-library>=2.0")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = about("no-such-library")
    assert found == Finding("no-such-library", Level.PROBLEM, "not installed", "install 'no-such-library>=2.0'")


def test_a_library_that_is_too_old_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "webdataset", "0.2.1")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert about("webdataset") == Finding("webdataset", Level.WARNING, "webdataset 0.2.1", "install 'webdataset>=1.0'")


def test_an_extra_that_is_missing_is_a_warning_that_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "condset", "0.1.0")
    install(tmp_path, "torchmetrics", "1.9.0")
    install(tmp_path, "packaging", "26.0")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert about("extra eval") == Finding(
        "extra eval", Level.WARNING, "no torch-fidelity", 'for FID: pip install "condset[eval]"'
    )


def test_full_mmcv_beside_the_lite_one_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "mmcv", "2.1.0")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = about("extra keypose")
    assert (found.level, found.advice) == (
        Level.WARNING,
        "uninstall all but one and reinstall that one: they hold the same files",
    )
    assert "mmcv 2.1.0" in found.found
