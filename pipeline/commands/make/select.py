"""`condset select DATASET`: some of its samples as a data set, by a condition, a list of keys or a split by key.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.interruption import resumable
from pipeline.commands.options import Dataset, ExecutorName, choose_environment


def select(
    dataset: Dataset,
    out: Annotated[
        list[str],
        typer.Option(
            help="The new data set's directory, once for each part of --split; run again to go on.", show_default=False
        ),
    ],
    where: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION",
            help="Keep the samples for which this holds: 'aesthetic > 6 and width >= 512'; sizes are the original's.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE...",
            help="Split by the hashes of the keys into such shares as '0.98 0.02', with one --out for each.",
        ),
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="Text file with one key on each line.")] = None,
) -> None:
    """Take some samples of a data set, with its layers, byte for byte, into new ones."""
    from pipeline.commands.make.outcome import report
    from pipeline.dataset.reader import open_dataset
    from pipeline.dataset.storage import Directory
    from pipeline.derive.choice import All, Choice, choose, parse_shares
    from pipeline.derive.run import select as run
    from stages.errors import ConfigError

    if where is None and split is None and keys is None:
        raise ConfigError("select must have --where, --split or --keys, got none of them; say which samples")
    parts: list[Choice] = [*parse_shares(split)] if split is not None else [All(())]
    if len(set(out)) != len(out):
        raise ConfigError(f"--out must be another directory for each part, got {out[0]} again; give each its own")
    if len(parts) != len(out):
        raise ConfigError(f"--out must be given once for each of {len(parts)} parts, got {len(out)}; pair them")
    chosen = choose(where, keys)
    opened = open_dataset(dataset)
    chosen.check(opened)
    environment = choose_environment(ExecutorName.INLINE, None, None)
    with resumable("committed shards stay"):
        for directory, part in zip(out, parts, strict=True):
            made = Directory(directory)
            report(made, run(opened, All((chosen, part)), made, environment))
