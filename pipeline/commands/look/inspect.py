"""`condset inspect DATASET [--sheet FILE.png] [--json]`: look at a data set, finished or not.

Nothing is imported at module level but typer: `condset --help` loads this file.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.interruption import resumable
from pipeline.commands.options import AsJson
from pipeline.commands.progress import passing_bar


def inspect(
    dataset: Annotated[str, typer.Argument(help="A data set's directory.", show_default=False)],
    sheet: Annotated[
        Path | None, typer.Option(help="Draw some samples with their conditions and captions into this picture.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Number of samples in the picture.")] = 6,
    as_json: AsJson = False,
    samples: Annotated[
        int,
        typer.Option(min=0, help="Number of samples that statistics are computed from, evenly spread; 0 takes all."),
    ] = 1000,
) -> None:
    """Show what is in a data set: counts, sizes, captions, licences, rejections and statistics of every condition."""
    import json
    from dataclasses import asdict

    from rich.console import Console

    from pipeline.dataset.storage import Directory
    from pipeline.inspect.dataset import inspect_data_set
    from pipeline.inspect.table import render_inspection

    directory = Directory(dataset)
    with resumable("nothing was changed"), passing_bar() as bar:
        task = bar.add_task("reading samples", total=None)
        inspection = inspect_data_set(directory, samples, lambda done, of: bar.update(task, completed=done, total=of))
    if as_json:
        typer.echo(json.dumps(asdict(inspection), ensure_ascii=False, indent=2))
    else:
        Console(highlight=False).print(render_inspection(inspection))
    if sheet:
        from pipeline.inspect.sheet import write_sheet

        write_sheet(directory, sheet, rows)
        typer.echo(f"wrote {sheet}", err=True)
