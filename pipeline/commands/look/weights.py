"""`condset weights list | fetch | check`: every network's weights, where they are, and that they are what they claim.

    what a WeightsStore knows ──> a table │ files in --weights-dir or the caches │ one line for each bad file, exit 2

Nothing is imported at module level but typer: `condset --help` loads this file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stages.weights.store import WeightsFile, WeightsStore

app = typer.Typer(no_args_is_help=True, help="List, download and check the weights of all networks.")

WeightsDir = Annotated[
    Path | None, typer.Option(help="Directory of the weights, one folder for each model.", envvar="CONDSET_WEIGHTS")
]


@app.command("list")
def list_models(weights_dir: WeightsDir = None) -> None:
    """Show every model: its licence, its size, its hash and where it is on this machine."""
    from stages.weights.store import WeightsStore

    print_models(WeightsStore(weights_dir, allow_network=False))


@app.command()
def fetch(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME ...|all", help="Names as `condset weights list` shows them.")
    ],
    weights_dir: WeightsDir = None,
) -> None:
    """Download models into --weights-dir, or into the local caches; what is there already is only checked."""
    from stages.weights.store import WeightsStore

    fetch_models(WeightsStore(weights_dir), names)


@app.command()
def check(weights_dir: WeightsDir = None) -> None:
    """Hash every file that is on this machine; exit with 2 if one is not the file that it claims to be."""
    from stages.weights.store import WeightsStore

    check_models(WeightsStore(weights_dir, allow_network=False))


def print_models(store: "WeightsStore") -> None:
    """Print a table of the models that a store knows, and where it finds them."""
    from rich.console import Console
    from rich.table import Column

    from pipeline.tables import terminal_table

    columns = (
        Column("name", no_wrap=True),
        "network",
        "licence",
        Column("size", no_wrap=True, justify="right"),
        Column("where", overflow="fold"),
        Column("sha256", no_wrap=True),
    )
    rows = []
    for model in store.models.values():
        found = store.find(model.name)
        size_bytes = found.stat().st_size if found else model.size_bytes
        size = f"{size_bytes / 1e6:.1f} MB" if size_bytes else "unknown"
        where = str(found) if found else "missing"
        rows.append((model.name, model.network, model.licence, size, where, model.sha256[:8]))
    Console().print(terminal_table(columns, rows))


def fetch_models(store: "WeightsStore", names: list[str]) -> None:
    """Have the models of these names, or of ["all"], where the store keeps them; exits with 2 if one is not there."""
    chosen = list(store.models) if names == ["all"] else names
    for name in chosen:
        store.find(name)  # a misspelt name is an error before the first download
    _each(chosen, store.fetch)


def check_models(store: "WeightsStore") -> None:
    """Hash what a store finds on this machine; exits with 2 if a file is not the one that it claims to be."""
    present = [name for name in store.models if store.find(name) is not None]
    if not present:
        typer.echo("no weights on this machine; `condset weights fetch NAME` downloads them")
    _each(present, store.resolve)


def _each(names: list[str], action: "Callable[[str], WeightsFile]") -> None:
    """Print one line for each model; go on after a bad one, so that one dead link does not stop the others."""
    from stages.errors import WeightsError

    failed = False
    for name in names:
        try:
            file = action(name)
        except WeightsError as error:
            failed = True
            typer.echo(str(error), err=True)
        else:
            typer.echo(f"{name} {file.sha256} {file.path}")
    if failed:
        raise typer.Exit(2)
