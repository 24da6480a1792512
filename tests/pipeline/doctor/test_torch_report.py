"""torch is asked in a process of its own: its report comes back, or what stopped it."""

import os
from pathlib import Path

import pytest

from pipeline.doctor.torch_report import TorchReport, finish, start
from stages.hardware.precision import resolve_dtype


def fake_torch(directory: Path, content: str) -> None:
    """Put a torch before the real one."""
    (directory / "torch").mkdir()
    (directory / "torch/__init__.py").write_text(content)


def test_the_report_is_what_torch_says_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/__init__.py").write_text("raise SystemExit('of another project')")
    monkeypatch.chdir(tmp_path)
    report = finish(start())
    assert isinstance(report, TorchReport)
    assert (report.toolkit, report.dtype) == (torch.version.cuda or torch.version.hip, resolve_dtype("auto", "cpu"))
    assert len(report.gpus) == torch.cuda.device_count()


def test_a_torch_that_cannot_be_imported_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_torch(tmp_path, "raise ImportError('libcudart.so.13: no such file')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert finish(start()) == "ImportError: libcudart.so.13: no such file"


def test_a_torch_that_ends_its_process_ends_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_torch(tmp_path, f"import os, signal; os.kill(os.getpid(), signal.SIGILL)  # not this one: {os.getpid()}")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert finish(start()) == "it ended with -4"
