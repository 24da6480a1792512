"""`condset push DATASET REPO [--private]`: publish a data set on a Hugging Face hub.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

from typing import Annotated

import typer

from pipeline.commands.interruption import resumable
from pipeline.commands.say import say


def push(
    dataset: Annotated[str, typer.Argument(help="Directory of a complete data set.", show_default=False)],
    repository: Annotated[
        str,
        typer.Argument(
            metavar="REPO", help="user/name on the hub; it is created if it is not there.", show_default=False
        ),
    ],
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
) -> None:
    """Upload a data set to a Hugging Face hub (HF_ENDPOINT, HF_TOKEN). Push again to go on after an interruption."""
    from huggingface_hub import HfApi

    from pipeline.dataset.storage import Directory
    from pipeline.publish.push import push as upload

    with resumable("what is uploaded stays"):
        address = upload(Directory(dataset), repository, private, HfApi(library_name="condset"), say)
    typer.echo(f"pushed to {address}")
