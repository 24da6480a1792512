"""`condset compact DATASET --out DIR`: a data set with its layers folded into the samples.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

from typing import Annotated

import typer

from pipeline.commands.interruption import resumable
from pipeline.commands.options import Dataset, ExecutorName, TakeOver, choose_environment


def compact(
    dataset: Dataset,
    out: Annotated[str, typer.Option(help="The new data set's directory; run again to go on.", show_default=False)],
    layer: Annotated[
        list[str] | None, typer.Option(help="A layer to fold in; may be given several times.", show_default="all")
    ] = None,
    take_over: TakeOver = False,
) -> None:
    """Fold layers into the samples: one tar for each shard, byte for byte as if all had been prepared at once."""
    from pipeline.commands.make.outcome import report
    from pipeline.dataset.storage import Directory
    from pipeline.derive.compact import plan_compaction
    from pipeline.derive.run import derive

    environment = choose_environment(ExecutorName.INLINE, None, None, take_over)
    with resumable("committed shards stay"):
        summary = derive(plan_compaction(Directory(dataset), Directory(out), layer), environment)
    report(Directory(out), summary)
