"""`condset remove DATASET --keys FILE`: takedowns. Nothing heavy is imported: `condset --help` loads this file."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.interruption import resumable
from pipeline.commands.options import Dataset, TakeOver
from pipeline.commands.say import say


def remove(
    dataset: Dataset,
    keys: Annotated[Path, typer.Option(help="Text file with one key on each line.", show_default=False)],
    take_over: TakeOver = False,
) -> None:
    """Take samples out of a data set and its layers for good. Run it again to go on after a stop."""
    from pipeline.dataset.storage import Directory
    from pipeline.derive.choice import read_keys
    from pipeline.derive.remove import remove as take_down

    with resumable("shards that were written anew stay"):
        removed = take_down(Directory(dataset), read_keys(keys), say, take_over)
    if removed.samples:
        print(f"{dataset} has {removed.samples} samples fewer; {removed.shards} shards were written anew")
    else:
        print(f"{dataset} has none of these samples any more")
