"""What the networks can run on, with drivers that a test makes and reports as torch gives them."""

from pathlib import Path

import pytest

from pipeline.doctor.devices import examine_devices
from pipeline.doctor.finding import Finding, Level
from pipeline.doctor.torch_report import TorchReport

NO_GPU = TorchReport("13.0", "float32", (), "CUDA initialization: the driver is too old")


def about_gpu(torch: TorchReport) -> Finding:
    (found,) = [finding for finding in examine_devices(torch) if finding.subject == "GPU"]
    return found


def driver(directory: Path, version: str) -> None:
    """Put an nvidia-smi into `directory`/bin that reports a driver of this version."""
    program = directory / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)


def test_without_a_driver_the_processor_is_used_and_that_is_said() -> None:
    found = about_gpu(NO_GPU)
    assert (found.level, found.found) == (Level.WARNING, "none: no NVIDIA driver answers here")


def test_a_driver_that_torch_cannot_use_is_a_problem(tmp_path: Path) -> None:
    driver(tmp_path, "470.256.02")
    assert about_gpu(NO_GPU) == Finding(
        "GPU",
        Level.PROBLEM,
        "none: torch for 13.0 cannot use driver 470.256.02. CUDA initialization: the driver is too old",
        "update the driver or install a torch for an older CUDA",
    )


def test_a_torch_for_processors_beside_a_driver_is_a_problem(tmp_path: Path) -> None:
    driver(tmp_path, "580.65.06")
    found = about_gpu(TorchReport(None, "float32", (), ""))
    assert (found.level, found.advice) == (Level.PROBLEM, "install a torch with CUDA, or pass --device cpu")


def test_gpus_that_the_environment_hides_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, "580.65.06")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert about_gpu(NO_GPU) == Finding(
        "GPU", Level.WARNING, "none: CUDA_VISIBLE_DEVICES is ''", "unset it to use the GPU"
    )


def test_a_gpu_is_named_with_its_memory_and_what_torch_says_of_it(tmp_path: Path) -> None:
    driver(tmp_path, "580.65.06")
    good = TorchReport("13.0", "float32", (("H100", 80 << 30),), "")
    assert about_gpu(good) == Finding("GPU", Level.OK, "H100, 80 GiB, driver 580.65.06")
    old = TorchReport("13.0", "float32", (("K80", 12 << 30),), "sm_37 is not compatible")
    assert about_gpu(old).found == "K80, 12 GiB, driver 580.65.06. sm_37 is not compatible"


def test_a_torch_that_cannot_be_imported_is_a_problem() -> None:
    findings = list(examine_devices("ImportError: libcudart.so.13"))
    assert findings[-1] == Finding(
        "torch", Level.PROBLEM, "cannot be imported: ImportError: libcudart.so.13", "reinstall torch"
    )
