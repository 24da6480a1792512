"""`condset export`, as it is typed."""

from pathlib import Path

import typer
from typer.testing import CliRunner

from tests.train.small_runs import write_run
from train.commands.export import export

app = typer.Typer()
app.command()(export)


def test_it_prints_what_it_wrote(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    out = tmp_path / "sketch.pth"
    result = CliRunner().invoke(app, [str(tmp_path / "run"), "--format", "t2i", "--out", str(out), "--step", "10"])
    assert result.exit_code == 0
    assert result.stdout == f"{out}\n{tmp_path / 'sketch.pth.md'}\n"
    assert out.is_file()


def test_another_format_is_refused() -> None:
    result = CliRunner().invoke(app, ["run", "--format", "onnx", "--out", "out"])
    assert result.exit_code == 2
    assert "'onnx' is not one of" in result.stderr
