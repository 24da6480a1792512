"""`condset verify DATASET [--deep]`: is it what it says it is? Exit 1 if not.

Heavy imports are inside the function, so that `condset --help` is there at once.
"""

from typing import Annotated

import typer

from pipeline.commands.options import Dataset, Device, WeightsDir, weights_store


def verify(
    dataset: Dataset,
    deep: Annotated[bool, typer.Option("--deep", help="Compute every condition again from the stored images.")] = False,
    weights_dir: WeightsDir = None,
    device: Device = None,
) -> None:
    """Check a data set: hashes, counts, offsets, members and, with --deep, every condition. Exit 1 if it is unsound."""
    from rich.console import Console
    from rich.progress import Progress

    from pipeline.dataset.storage import Directory
    from pipeline.verify.dataset import rows_to_check
    from pipeline.verify.dataset import verify as check

    directory, chosen = Directory(dataset), device.value if device else "auto"
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("checking samples", total=rows_to_check(directory))
        report = check(directory, deep, weights_store(weights_dir), chosen, lambda rows: bar.advance(task, rows))
    for problem in report.problems:
        print(problem)
    depth = " and every condition" if deep else ""
    if report.problems:
        print(f"{dataset} is unsound: {len(report.problems)} problems in {report.shards} shards")
        raise typer.Exit(1)
    print(
        f"{dataset} is sound: {report.samples} samples in {report.shards} shards, every hash, count and member{depth}"
    )
