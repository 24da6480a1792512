"""What `condset doctor` prints and how it ends."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline.commands.look.doctor import command, show
from pipeline.doctor.examine import Diagnosis
from pipeline.doctor.finding import Finding, Level
from pipeline.doctor.weights import WeightsState, examine_weights


def application(ray: Finding | None = None) -> typer.Typer:
    """An application with `doctor` as its only command, and what its check of Ray would find."""
    app = typer.Typer()
    app.command("doctor")(command(lambda: ray or pytest.fail("Ray was started without --ray")))
    return app


def test_ray_is_started_only_on_request() -> None:
    assert "Ray run" not in CliRunner().invoke(application(), []).stdout
    result = CliRunner().invoke(application(Finding("Ray run", Level.OK, "2 CPUs")), ["--ray"])
    assert "2 CPUs" in result.stdout


def test_a_problem_exits_with_2_and_is_in_the_json() -> None:
    problem = Finding("Ray run", Level.PROBLEM, "no", "free a port")
    result = CliRunner().invoke(application(problem), ["--ray", "--json"])
    assert result.exit_code == 2
    said = json.loads(result.stdout)
    assert said.keys() == {"findings", "weights"}
    assert said["findings"][-1] == {"subject": "Ray run", "level": "problem", "found": "no", "advice": "free a port"}
    assert said["weights"][0].keys() == {"model", "level", "size_bytes", "path", "advice"}


def test_in_a_pipe_the_weights_are_one_table_of_at_most_100_columns_with_a_line_for_each(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    weights = tuple(examine_weights(tmp_path))
    show(Diagnosis((), weights))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    table = lines[next(number for number, line in enumerate(lines) if "weights" in line) + 2 : -1]
    assert [line.split()[1] for line in table] == [state.model for state in weights]


def test_brackets_in_a_finding_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    finding, state = Finding("a", Level.OK, "/data/[red]/x"), WeightsState("b", Level.OK, 1, "/data/[blue]/x")
    show(Diagnosis((finding,), (state,)))
    shown = capsys.readouterr().out
    assert "/data/[red]/x" in shown
    assert "/data/[blue]/x" in shown
