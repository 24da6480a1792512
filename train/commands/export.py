"""`condset export RUN --format diffusers|t2i --out PATH`: the adapter of a training run, for other programs.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

from pathlib import Path
from typing import Annotated

import typer

from train.commands.local import local
from train.exchange.t2i_layout import Layout


def export(
    run: Annotated[Path, typer.Argument(callback=local, help="Directory of a training run.", show_default=False)],
    layout: Annotated[
        Layout,
        typer.Option(
            "--format",
            help="diffusers: a directory for T2IAdapter.from_pretrained; t2i: one file for ComfyUI and the webui.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            callback=local,
            help="A new directory (diffusers), or a new .pth or .safetensors file (t2i).",
            show_default=False,
        ),
    ],
    step: Annotated[
        int | None, typer.Option(min=1, help="Step of the checkpoint to export.", show_default="the last one")
    ] = None,
) -> None:
    """Export a run's adapter, its moving average if it keeps one, with a model card beside it."""
    from train.exchange.export import export_run

    for path in export_run(run, layout, out, step):
        print(path)
