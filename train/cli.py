"""The console script `condset`: the data commands of `pipeline` and those of training, under one rule for exits.

0 done; 1 the data is unsound (verify); 2 the user must change something, said in one line; 130 interrupted.
A traceback means a bug.
"""

import errno
import sys
from typing import Annotated

import typer

from pipeline.cli import mount
from pipeline.commands.home import expand_home
from pipeline.commands.look.bench import app as bench_app
from stages.errors import CondsetError
from stages.hardware.waiting import waiting_asleep
from train.commands.bench_load import bench_load
from train.commands.bench_train import bench_train
from train.commands.evaluate import evaluate
from train.commands.export import export
from train.commands.push import push
from train.commands.quickstart import quickstart
from train.commands.sample import sample
from train.commands.train import train
from train.commands.train_base import train_base

STORAGE_FAILURES = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EBUSY, errno.ESTALE),
        *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.ETIMEDOUT),
    }
)
"""What a disk, a mount or a path does to a run; any other OSError is a bug."""

app = typer.Typer(
    name="condset",
    help="Image-caption collections in, (image, caption, condition) data sets and the adapters trained on them out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
mount(app)
for command in (train, sample, export, push, quickstart, train_base):
    app.command()(command)
bench_app.command("load")(bench_load)
app.command("eval")(evaluate)
bench_app.command("train")(bench_train)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        print(f"condset {version('condset')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take what stands before the command."""


def main() -> None:
    """Run the command line; every error that a user can fix is one line."""
    try:
        with waiting_asleep():
            app(expand_home(sys.argv[1:]))
    except CondsetError as error:
        print(f"condset: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in STORAGE_FAILURES:
            raise
        place = error.filename or "the storage"
        print(f"condset: {place} must be writable, got {error.strerror}; make room or give another", file=sys.stderr)
        sys.exit(2)
