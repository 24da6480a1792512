import pytest
from typer.testing import CliRunner

from pipeline.bench.cli import app
from tests.pipeline.bench.bench_command import assert_consistent, bench_for_machines


@pytest.mark.slow
def test_sketch_is_measured_beside_controlnet_aux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONDSET_WEIGHTS", raising=False)
    table = bench_for_machines("sketch", "--images-timed", "2")
    assert_consistent(table, "sketch")
    assert table["rows"][0]["name"] == "controlnet_aux PidiNetDetector"
    assert {row["name"].split(",")[0] for row in table["rows"][1:]} == {"condset float32", "condset bfloat16"}
    assert table["title"].startswith("PiDiNet at 64x64, ")
    assert table["title"].endswith("1 rounds of 2 images")


def test_a_size_that_the_reference_would_round_is_refused() -> None:
    result = CliRunner().invoke(app, ["sketch", "--size", "100"])
    assert result.exit_code == 2
    said = " ".join(result.output.replace("│", " ").split())
    assert "must be a multiple of 64 pixels, to which controlnet_aux rounds, got 100; use 128" in said
