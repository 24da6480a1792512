"""condset as a stranger installs it: a wheel, pip, nothing of this checkout, no library but those that it asks for."""

import os
import subprocess
import sys
import sysconfig
from importlib.metadata import PathDistribution
from pathlib import Path
from zipfile import Path as ZipPath

import pytest

from tests.module_graph import ROOT
from tests.site_packages import link_required

SCENES = """
name = "scenes"
samples_per_shard = 4
[source]
kind = "synthetic"
count = 6
width_pixels = 64
height_pixels = 64
[image]
size_pixels = 64
[[annotators]]
kind = "canny"
[[annotators]]
kind = "color"
[[annotators]]
kind = "segmentation"
"""
BROKEN = {"chumpy", "xtcocotools", "opencv-python", "mmpose"}
"""What pip cannot install, or what overwrites the headless OpenCV."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    return next(folder.glob("condset-*.whl"))


def requirements(wheel: Path) -> list[str]:
    """What the wheel asks for, with the extras' in markers."""
    metadata = next(each for each in ZipPath(wheel).iterdir() if each.name.endswith(".dist-info"))
    return PathDistribution(metadata).requires or []


@pytest.mark.slow
@pytest.mark.ray
def test_a_wheel_that_pip_alone_installs_makes_a_data_set(wheel: Path, tmp_path: Path) -> None:
    environment, libraries = tmp_path / "environment", tmp_path / "libraries"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    libraries.mkdir()
    assert not link_required(requirements(wheel), libraries) & BROKEN
    site_packages = sysconfig.get_path("purelib", "venv", {"base": str(environment)})
    (Path(site_packages) / "libraries.pth").write_text(str(libraries))
    ours = ("PYTHON", "VIRTUAL_ENV", "PIP_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    clean["PIP_CONFIG_FILE"] = os.devnull

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        program, *arguments = command
        return subprocess.run(
            [str(environment / "bin" / program), *arguments], cwd=tmp_path, env=clean, capture_output=True, text=True
        )

    run("pip", "uninstall", "--yes", "setuptools")  # the one that Python brings would hide the one that torch needs
    # Without an index, pip installs nothing but the wheel: it says so if anything that condset asks for is not linked.
    installed = run("pip", "install", "--no-index", str(wheel))
    assert installed.returncode == 0, installed.stdout + installed.stderr
    (tmp_path / "scenes.toml").write_text(SCENES)
    made = run("condset", "prepare", "scenes.toml", "--out", "data")
    assert (made.returncode, "data is complete: 6 samples in 2 shards" in made.stdout) == (0, True), made.stderr
    assert run("condset", "verify", "data", "--deep").returncode == 0
    (tmp_path / "own.pth").write_bytes(b"weights")
    keypose = 'annotators=[{kind="keypose", weights="own.pth"}]'
    refused = run("condset", "prepare", "scenes.toml", "--onto", "data", "--executor", "inline", "--set", keypose)
    assert (refused.returncode, refused.stderr.splitlines()[-1]) == (
        2,
        "condset: the networks of keypose must have the library mmpose, got none installed; "
        'pip install "condset[keypose]" && pip install --no-deps mmpose mmengine mmcv-lite',
    )
