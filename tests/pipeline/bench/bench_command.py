"""Run `condset bench` of a network, and check what holds for each of its tables."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.commands.look.bench import app


def bench_for_machines(*arguments: str) -> dict[str, Any]:
    """Return what the command prints with --json: one round at 64 x 64, on the CPU unless the arguments say more."""
    options = ["--device", "cpu", "--size", "64", "--rounds", "1", "--images", "1000", "--json"]
    result = CliRunner().invoke(app, [arguments[0], *options, *arguments[1:]], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "round 1 of 1: " in result.stderr
    table: dict[str, Any] = json.loads(result.stdout)
    return table


def assert_consistent(table: dict[str, Any], network: str) -> None:
    """Check that ratios are quotients, shares are shares and the estimate is that of the last row."""
    reference = table["rows"][0]["images_per_second"]
    for row in table["rows"]:
        assert row["images_per_second"] > 0
        assert row["ratio"] == pytest.approx(row["images_per_second"] / reference)
        assert row["limit_share"] > 0
        assert row["bottleneck"] in ("matrix products", "PNG encoding")
    assert sum(table["time_shares"].values()) == pytest.approx(1)
    assert table["time_shares"][network] > 0
    assert table["gpu_busy_share"] is None or 0 <= table["gpu_busy_share"] <= 1
    assert table["images"] == 1000
    assert table["seconds_for_images"] == pytest.approx(1000 / table["rows"][-1]["images_per_second"])
