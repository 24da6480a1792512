"""`condset doctor [--json]`: what works on this machine, and what to do about the rest. Exit 2 if a command will fail.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.options import AsJson

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from pipeline.doctor.examine import Diagnosis
    from pipeline.doctor.finding import Finding

COLUMNS = 100
"""Where nobody says how wide the output may be, as in a pipe: two tables fit, and an issue shows them unbroken."""


def command(check_ray: "Callable[[], Finding]") -> Callable[..., None]:
    """Return the typer command `doctor`. `check_ray` is called for `--ray` alone: only the executor may import ray."""

    def doctor(
        weights_dir: Annotated[
            Path | None,
            typer.Option(help="Directory of the weights, one folder for each model.", envvar="CONDSET_WEIGHTS"),
        ] = None,
        network: Annotated[
            bool, typer.Option("--network", help="Also ask the servers that the weights come from.")
        ] = False,
        ray: Annotated[
            bool, typer.Option("--ray", help="Also start a local Ray instance, run a task on it and stop it.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Say what of this machine and this installation works, and what to do about the rest."""
        import json
        from dataclasses import asdict

        from pipeline.doctor.examine import examine

        diagnosis = examine(weights_dir, network=network, check_ray=check_ray if ray else None)
        if as_json:
            print(json.dumps(asdict(diagnosis), indent=2))
        else:
            show(diagnosis)
        if diagnosis.has_problems:
            raise typer.Exit(2)

    return doctor


def show(diagnosis: "Diagnosis") -> None:
    """Print the findings as a table, and the weights as another."""
    import os

    from rich.console import Console

    console = Console(width=None if "COLUMNS" in os.environ or os.isatty(1) else COLUMNS)
    console.print(_findings(diagnosis))
    console.print(_weights(diagnosis))


def _findings(diagnosis: "Diagnosis") -> "RenderableType":
    from rich.table import Column

    from pipeline.tables import terminal_table

    columns = (Column("what", no_wrap=True), "", Column("found", overflow="fold"), Column("do", overflow="fold"))
    rows = [(each.subject, _coloured(each.level), each.found, each.advice) for each in diagnosis.findings]
    return terminal_table(columns, rows)


def _weights(diagnosis: "Diagnosis") -> "RenderableType":
    from rich.table import Column

    from pipeline.tables import terminal_table

    columns = (
        Column("weights", no_wrap=True),
        "",
        Column("size", no_wrap=True, justify="right"),
        Column("where", overflow="fold"),
        Column("do", overflow="fold"),
    )
    rows = []
    for each in diagnosis.weights:
        size = f"{each.size_bytes / 1e6:.1f} MB" if each.size_bytes else "unknown"
        rows.append((each.model, _coloured(each.level), size, each.path or "missing", each.advice))
    return terminal_table(columns, rows)


def _coloured(level: str) -> "Text":
    from rich.text import Text

    return Text(level, style={"ok": "green", "warning": "yellow", "problem": "red"}[level])
