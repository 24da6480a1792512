"""The data commands: `condset prepare`, `verify`, ... mounted on the console script; each lives in `pipeline/commands`.

Nothing heavy is imported, so that `condset --help` is there at once.
"""

from typing import TYPE_CHECKING

import typer

from pipeline.commands.exchange.fetch import fetch
from pipeline.commands.look import bench, doctor, weights
from pipeline.commands.look.inspect import inspect
from pipeline.commands.look.verify import verify
from pipeline.commands.make.compact import compact
from pipeline.commands.make.encode import encode
from pipeline.commands.make.prepare import prepare
from pipeline.commands.make.remove import remove
from pipeline.commands.make.select import select
from pipeline.commands.make.upgrade import upgrade

if TYPE_CHECKING:
    from pipeline.doctor.finding import Finding


def mount(app: typer.Typer) -> None:
    """Add the data commands to the console script."""
    for command in (fetch, prepare, verify, inspect, encode, compact, select, remove, upgrade):
        app.command()(command)
    app.add_typer(weights.app, name="weights")
    app.add_typer(bench.app, name="bench")
    app.command("doctor")(doctor.command(_check_ray))


def _check_ray() -> "Finding":
    from pipeline.execution.ray_cluster import examine_ray

    return examine_ray()
