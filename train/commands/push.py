"""`condset push PATH REPO [--private]`: publish a data set, or the adapter of a training run, on a Hugging Face hub.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.exchange.push import push_dataset
from pipeline.commands.interruption import resumable
from pipeline.commands.say import say
from train.exchange.t2i_layout import Layout


def push(
    path: Annotated[
        str, typer.Argument(help="Directory of a complete data set, or of a training run.", show_default=False)
    ],
    repository: Annotated[
        str,
        typer.Argument(
            metavar="REPO", help="user/name on the hub; it is created if it is not there.", show_default=False
        ),
    ],
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    layout: Annotated[
        Layout, typer.Option("--format", help="Of an adapter: diffusers, or t2i for ComfyUI and the webui.")
    ] = "diffusers",
) -> None:
    """Upload a data set or an adapter to a Hugging Face hub (HF_ENDPOINT, HF_TOKEN). Push again to go on."""
    from train.runs.directory import RUN_FILE

    if not (Path(path) / RUN_FILE).is_file():
        typer.echo(f"pushed to {push_dataset(path, repository, private)}")
        return
    from huggingface_hub import HfApi

    from train.exchange.publish import push_run

    with resumable("what is uploaded stays"):
        address = push_run(Path(path), layout, repository, private, HfApi(library_name="condset"), say)
    typer.echo(f"pushed to {address}")
