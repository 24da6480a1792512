"""The first command of a new user: from nothing to a verified data set, a trained adapter and a picture."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from train.runs.metrics import read_metrics

ROOT = Path(__file__).parents[3]


def condset(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run the console script in a process of its own, as a new user does."""
    command = [sys.executable, "-c", "from train.cli import main; main()", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd)


@pytest.mark.slow
@pytest.mark.ray
def test_quickstart_runs_on_ray_in_any_directory_with_relative_paths(tmp_path: Path) -> None:
    result = condset("quickstart", "--out", "here", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    data, held_out, run, *table, picture = result.stdout.splitlines()
    assert data.startswith("here/data is complete: 512 samples in 8 shards, none rejected; ")
    assert held_out.startswith("here/held_out is complete: 24 samples in 1 shards, none rejected; ")
    assert run.startswith("here/run is complete: 300 steps, ")
    assert any("edge F1 within 2 px" in line for line in table)
    assert picture.startswith("here/run/previews/step-0000300.png shows ")
    assert condset("verify", "here/data", "--deep", cwd=tmp_path).returncode == 0
    losses = [line["loss"] for line in read_metrics(tmp_path / "here/run")]
    assert losses[-1] < losses[0]
    with Image.open(tmp_path / "here/run/previews/step-0000300.png") as image:
        assert min(image.size) > 600
        assert len(set(image.convert("L").get_flattened_data())) > 100

    again = condset("quickstart", "--out", "here", "--executor", "inline", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert [line.split(":")[0] for line in again.stdout.splitlines()[:3]] == [
        "here/data is complete already",
        "here/held_out is complete already",
        "here/run is complete already",
    ]
