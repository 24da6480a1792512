"""`condset fetch [COLLECTION]`: the published archives of a collection, in the layout that its configurations expect.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.interruption import resumable
from pipeline.commands.say import say

if TYPE_CHECKING:
    from stages.collections.catalogue import Archive, Collection

DIRECTORY = Path("data/coco17")
"""Where the configurations look."""


def fetch(
    collection: Annotated[
        str | None, typer.Argument(help="coco17 or coco_stuff; without a name they are listed.", show_default=False)
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="train2017 or val2017; may be given twice.", show_default="both"),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Directory for the collection; run again to go on where it stopped.")
    ] = DIRECTORY,
    mirror: Annotated[
        str | None,
        typer.Option(help="Mirror: a URL below which the archives lie under their own names.", envvar="CONDSET_MIRROR"),
    ] = None,
    sums: Annotated[
        Path | None,
        typer.Option(help="File written by sha256sum, for a mirror whose archives are not the published ones."),
    ] = None,
    keep_archives: Annotated[
        bool, typer.Option("--keep-archives", help="Keep the zip archives after they are unpacked.")
    ] = False,
) -> None:
    """Download a collection, check it and unpack it. Run it again to go on after a stop."""
    if collection is None:
        _list()
        return
    from stages.collections.fetch import fetch as bring

    chosen, splits = _chosen(collection, split)
    archives = _archives(chosen, splits, mirror, sums)
    with resumable("what has arrived stays"):
        summary = bring(chosen, archives, out, keep_archives, say)
    counts = ", ".join(f"{folder} {files:,}" for folder, files in summary.files.items())
    typer.echo(f"{out} holds {chosen.name}{' already' if summary.was_there else ''}; files: {counts}")
    say(f"go on with: {_next(chosen, splits, out)}")


def _list() -> None:
    """Show every collection: what it is, how much there is to download, under which licence."""
    from rich.console import Console
    from rich.table import Column

    from pipeline.tables import terminal_table
    from stages.collections.catalogue import COLLECTIONS
    from stages.web.progress import in_words

    columns = (Column("name", no_wrap=True), "what it is", Column("to download", justify="right"), "licence")
    rows = []
    for collection in COLLECTIONS.values():
        sizes = [
            f"{split} {in_words(sum(archive.size_bytes for archive in collection.archives_of([split])))}"
            for split in collection.splits
        ]
        total = in_words(sum(archive.size_bytes for archive in collection.archives))
        rows.append((collection.name, collection.title, "\n".join([*sizes, f"both {total}"]), collection.licence))
    Console().print(terminal_table(columns, rows, show_lines=True))
    typer.echo(
        "`condset fetch NAME [--split SPLIT]` downloads one. LAION-Aesthetics cannot be fetched: its metadata is handed"
        " out on request; put its parquet files where configs/prepare/color_laion.toml says."
    )


def _chosen(name: str, splits: Sequence[str] | None) -> "tuple[Collection, Sequence[str]]":
    from stages.collections.catalogue import COLLECTIONS
    from stages.errors import ConfigError

    if name not in COLLECTIONS:
        raise ConfigError(
            f"collection must be one of {', '.join(COLLECTIONS)}, got {name!r}; `condset fetch` lists them"
        )
    collection = COLLECTIONS[name]
    for split in splits or ():
        if split not in collection.splits:
            raise ConfigError(
                f"--split must be {' or '.join(collection.splits)}, got {split!r}; leave it out to have both"
            )
    return collection, splits or collection.splits


def _archives(
    collection: "Collection", splits: Sequence[str], mirror: str | None, sums: Path | None
) -> "list[Archive]":
    """The archives of these splits, from where the user wants them."""
    from stages.collections.mirror import from_mirror, read_sums, with_sums

    archives = list(collection.archives_of(splits))
    if mirror is not None:
        archives = [from_mirror(archive, mirror) for archive in archives]
    if sums is not None:
        own = read_sums(sums)
        archives = [with_sums(archive, own) for archive in archives]
    return archives


def _next(collection: "Collection", splits: Sequence[str], out: Path) -> str:
    """The command that makes a data set of what was fetched."""
    command = ["condset", "prepare", collection.config]
    if "train2017" not in splits:
        command += ["--set", f"source.split={splits[0]}"]
    if out != DIRECTORY:
        command += ["--set", f"source.root={out}"]
    return shlex.join([*command, "--out", f"out/{collection.data_set}"])
