"""`condset bench load`: mounted beside the benches of `pipeline`, which knows nothing of training."""

from typing import Annotated

import typer

from pipeline.commands.look.bench import ESTIMATED_IMAGES, Images, Rounds, Size
from pipeline.commands.options import AsJson
from pipeline.commands.say import say


def bench_load(
    batch: Annotated[int, typer.Option(min=1, help="Samples in a batch.")] = 8,
    batches: Annotated[int, typer.Option(min=1, help="Batches timed in each round.")] = 100,
    samples: Annotated[int, typer.Option(min=1, help="Samples in the data set, which is read again and again.")] = 512,
    workers: Annotated[
        int, typer.Option(min=1, help="Threads of condset's loader, and processes of webdataset's.")
    ] = 4,
    rounds: Rounds = 3,
    size: Size = 512,
    images: Images = ESTIMATED_IMAGES,
    as_json: AsJson = False,
) -> None:
    """Shards to training batches: webdataset's loader, and condset's with images and with cached latents."""
    import json

    from train.bench.loading import LoadingSetting
    from train.bench.loading import bench_load as measure

    result = measure(LoadingSetting(size, batch, batches, samples, workers), rounds, say)
    print(json.dumps(result.for_machines(images), indent=2) if as_json else "\n".join(result.lines(images)))
