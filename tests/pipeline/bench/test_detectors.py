"""The benches of the networks that controlnet_aux has detectors for, and what they refuse."""

import pytest
import torch
from typer.testing import CliRunner

from pipeline.commands.look.bench import app
from stages.errors import ConfigError
from stages.hardware.precision import resolve_dtype
from tests.pipeline.bench.bench_command import assert_consistent, bench_for_machines


@pytest.mark.slow
def test_sketch_is_measured_beside_controlnet_aux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONDSET_WEIGHTS", raising=False)
    table = bench_for_machines("sketch", "--images-timed", "2")
    assert_consistent(table, "sketch")
    assert table["rows"][0]["name"] == "controlnet_aux PidiNetDetector"
    assert table["rows"][-1]["name"] == f"condset {resolve_dtype('auto', 'cpu')}"
    assert table["title"].startswith(f"PiDiNet at 64x64, {torch.get_num_threads()} threads, ")
    assert table["title"].endswith("1 rounds of 2 images")


@pytest.mark.slow
def test_depth_is_measured_beside_controlnet_aux() -> None:
    table = bench_for_machines("depth", "--images-timed", "1")
    assert_consistent(table, "depth")
    assert table["rows"][0]["name"] == "controlnet_aux MidasDetector"
    assert table["rows"][-1]["name"] == f"condset {resolve_dtype('auto', 'cpu')}"
    assert table["title"].startswith("MiDaS dpt_hybrid at 64x64, ")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_sketch_is_measured_on_a_gpu() -> None:
    table = bench_for_machines("sketch", "--device", "cuda", "--images-timed", "64")
    assert sum(table["time_shares"].values()) == pytest.approx(1)
    assert table["title"].startswith(f"PiDiNet at 64x64, {torch.cuda.get_device_name()}, ")
    assert len(table["rows"]) == 3
    assert all(row["limit_share"] > 0 for row in table["rows"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    result = CliRunner().invoke(app, ["sketch", "--device", "cuda"])
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == (
        "device must be one that this machine has, got 'cuda' without a GPU; use --device cpu or auto"
    )


def test_a_size_that_the_reference_would_round_is_refused() -> None:
    result = CliRunner().invoke(app, ["sketch", "--size", "100"])
    assert result.exit_code == 2
    said = " ".join(result.output.replace("│", " ").split())
    assert "must be a multiple of 64 pixels, to which controlnet_aux rounds, got 100; use 128" in said
