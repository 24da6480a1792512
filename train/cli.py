"""The console script `condset`: the data commands of `pipeline`, under one rule for exits.

0 done; 1 the data is unsound (verify); 2 the user must change something, said in one line; 130 interrupted.
A traceback means a bug.
"""

import sys

import typer

from pipeline.cli import mount
from stages.errors import CondsetError

app = typer.Typer(
    name="condset",
    help="Image-caption collections in, sharded (image, caption, condition) data sets out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
mount(app)


def main() -> None:
    """Run the command line; every error that a user can mend is one line."""
    try:
        app()
    except CondsetError as error:
        print(f"condset: {error}", file=sys.stderr)
        sys.exit(2)
