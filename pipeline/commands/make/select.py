"""`condset select DATASET`: some of its samples as a data set, by a condition, a list of keys or a split by key.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.interruption import resumable
from pipeline.commands.options import Dataset as Location
from pipeline.commands.options import ExecutorName, TakeOver, choose_environment
from pipeline.commands.progress import passing_bar
from pipeline.commands.say import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.dataset.reader import Dataset
    from pipeline.derive.choice import Choice


def select(
    dataset: Location,
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
    distinct: Annotated[
        bool, typer.Option("--distinct", help="Of images that look the same keep the first, over all parts together.")
    ] = False,
    unlike: Annotated[
        list[str] | None,
        typer.Option(help="Leave out what looks like an image of this data set, such as the held-out one; repeatable."),
    ] = None,
    distance: Annotated[
        int, typer.Option(min=0, max=16, help="Bits of 64 in which images that look the same may differ.")
    ] = 4,
    take_over: TakeOver = False,
) -> None:
    """Take some samples of a data set, with its layers, byte for byte, into new ones."""
    from pipeline.commands.make.outcome import report
    from pipeline.dataset.reader import open_dataset
    from pipeline.dataset.storage import Directory
    from pipeline.derive.choice import All, Choice, choose, parse_shares
    from pipeline.derive.run import select as run
    from stages.errors import ConfigError

    if not (where or split or keys or distinct or unlike):
        raise ConfigError(
            "select must have --where, --split, --keys, --distinct or --unlike, got none of them; say which samples"
        )
    parts: list[Choice] = [*parse_shares(split)] if split is not None else [All(())]
    if len(set(out)) != len(out):
        raise ConfigError(f"--out must be another directory for each part, got {out[0]} again; give each its own")
    if len(parts) != len(out):
        raise ConfigError(f"--out must be given once for each of {len(parts)} parts, got {len(out)}; pair them")
    chosen = choose(where, keys)
    opened = open_dataset(dataset)
    chosen.check(opened)
    environment = choose_environment(ExecutorName.INLINE, None, None, take_over)
    with resumable("committed shards stay"):
        repeated = frozenset[str]()
        if distinct or unlike:
            others = [open_dataset(other) for other in unlike or ()]
            repeated = find_repeated(opened, chosen, others, distinct, distance)
        for directory, part in zip(out, parts, strict=True):
            made = Directory(directory)
            report(made, run(opened, All((chosen, part)), made, environment, repeated))


def find_repeated(
    dataset: "Dataset", choice: "Choice", others: "Sequence[Dataset]", distinct: bool, distance_bits: int
) -> frozenset[str]:
    """Look at the chosen images and at all of other data sets, with a bar, and say how many look like one before."""
    from pipeline.derive.near_duplicates import near_duplicates

    with passing_bar() as bar:
        task = bar.add_task("looking at images", total=sum(map(len, (dataset, *others))))
        repeated = near_duplicates(dataset, choice, others, distinct, distance_bits, lambda: bar.advance(task))
    say(f"{len(repeated)} near-duplicates are left out")
    return repeated
