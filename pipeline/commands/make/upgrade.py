"""`condset upgrade DATASET`: a data set of format 1 and its layers, brought over to the present format.

Heavy imports are inside the function, so that `condset --help` is there at once.
"""

import typer

from pipeline.commands.interruption import resumable
from pipeline.commands.options import Dataset, TakeOver
from pipeline.commands.progress import passing_bar
from pipeline.commands.say import say


def upgrade(dataset: Dataset, take_over: TakeOver = False) -> None:
    """Bring a data set of format 1, with its layers, over to format 2. No tar is touched. Run it again after a stop."""
    from pipeline.dataset.storage import Directory
    from pipeline.upgrade.upgrade import upgrade as bring_over

    with resumable("nothing is lost"), passing_bar() as bar:
        task = bar.add_task("reading", total=None)
        done = bring_over(
            Directory(dataset),
            say,
            lambda what, done, of: bar.update(task, description=what, completed=done, total=of),
            take_over,
        )
    typer.echo(f"{dataset} is of format 2 {'now; no tar was touched' if done else 'already'}")
