"""`condset verify DATASET [--deep] [--json]`: is it what it says it is? Exit 1 if not.

Heavy imports are inside the function, so that `condset --help` is there at once.
"""

from typing import Annotated

import typer

from pipeline.commands.interruption import resumable
from pipeline.commands.options import AsJson, Dataset, Device, WeightsDir, weights_store
from pipeline.commands.progress import passing_bar


def verify(
    dataset: Dataset,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also compute every condition again from the stored images and compare.")
    ] = False,
    weights_dir: WeightsDir = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Check a data set: hashes, counts, offsets, members and, with --deep, every condition. Exit 1 if it is unsound."""
    import json
    from dataclasses import asdict

    from pipeline.dataset.storage import Directory
    from pipeline.verify.dataset import rows_to_check
    from pipeline.verify.dataset import verify as check

    directory, chosen = Directory(dataset), device.value if device else "auto"
    with resumable("nothing was changed"), passing_bar() as bar:
        task = bar.add_task("checking samples", total=rows_to_check(directory))
        report = check(directory, deep, weights_store(weights_dir), chosen, lambda rows: bar.advance(task, rows))
    is_sound = not report.problems
    depth = " and every condition" if deep else ""
    if as_json:
        print(json.dumps({"dataset": dataset, "sound": is_sound, "deep": deep, **asdict(report)}, indent=2))
    elif is_sound:
        counts = f"{report.samples} samples in {report.shards} shards"
        print(f"{dataset} is sound: {counts}, every hash, count and member{depth}")
    else:
        print(*report.problems, sep="\n")
        print(f"{dataset} is unsound: {len(report.problems)} problems in {report.shards} shards")
    if not is_sound:
        raise typer.Exit(1)
