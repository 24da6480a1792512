"""The one loop that turns plans into committed shards, whoever the executor is: said, shown and closed at the end."""

from collections.abc import Callable, Sequence
from contextlib import closing

from pipeline.dataset.ledger import committed_names
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import read_record
from pipeline.execution.inline import Executor
from pipeline.execution.progress import RunProgress
from pipeline.execution.worker import Work
from stages.hardware.progress_bars import progress_bars_hidden


def drive(executor: Executor, shards: int, todo: Sequence[ShardPlan], work: Work, say: Callable[[str], None]) -> float:
    """Make the shards of `todo`, of `shards` in all; returns how many images were annotated per second.

    Raises what the executor raises; shards that are committed stay.
    """
    _announce(say, shards, len(todo), work)
    with progress_bars_hidden(), RunProgress(len(todo), sum(plan.rows for plan in todo)) as progress:
        if todo:
            with closing(executor.run(todo, work, progress.annotated)) as records:
                for record in records:
                    progress.committed(record)
    return progress.images_per_second


def _announce(say: Callable[[str], None], shards: int, todo: int, work: Work) -> None:
    """Say what is about to be made, and a warning if shards are there that were made under other numerics."""
    numerics = work.numerics
    dtypes = "".join(f", {name} in {dtype}" for name, dtype in numerics.dtypes.items() if dtype != "none")
    say(
        f"{todo} of {shards} shards to make on {numerics.device}, {numerics.threads_per_worker} threads a worker, "
        f"batch {numerics.batch_size}{dtypes}"
    )
    committed = committed_names(work.home)
    differences = read_record(work.home, committed[0]).numerics.differences(numerics) if committed else []
    if differences:
        say(
            f"warning: shard {committed[0]} was made under other numerics ({'; '.join(differences)}); the last bits "
            "of the shards to come may differ from an uninterrupted run's"
        )
