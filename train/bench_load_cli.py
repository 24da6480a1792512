"""`condset bench load`: mounted beside the benches of `pipeline`, which knows nothing of training."""

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.bench.cli import ESTIMATED_IMAGES, AsJson, Images, Rounds, Size
from pipeline.saying import say


def bench_load(
    batch: Annotated[int, typer.Option(min=1, help="Samples of a batch.")] = 8,
    batches: Annotated[int, typer.Option(min=1, help="Batches that are timed in each round.")] = 100,
    samples: Annotated[int, typer.Option(min=1, help="Samples of the data set, read again and again.")] = 512,
    workers: Annotated[int, typer.Option(min=1, help="Threads of condset, and processes of webdataset.")] = 4,
    rounds: Rounds = 3,
    size: Size = 512,
    images: Images = ESTIMATED_IMAGES,
    as_json: AsJson = False,
) -> None:
    """Batches a second out of shards: webdataset's loader, and condset's with images and with cached latents."""
    import json

    from pipeline.bench.measure import duration
    from train.bench_load import Setting
    from train.bench_load import bench_load as measure

    result = measure(Setting(size, batch, batches, samples, workers), rounds, say)
    if as_json:
        seconds = images / result.figures[-1].images_per_second
        print(json.dumps(asdict(result) | {"images": images, "seconds_for_images": seconds}, indent=2))
        return
    print(
        f"image and color at {size}x{size}, batch {batch}, {workers} workers, {rounds} rounds of {batches} batches, "
        "from the page cache"
    )
    for figure in result.figures:
        megabytes = figure.stored_bytes_per_second / 1e6
        print(
            f"  {figure.name:28} {figure.images_per_second:9.1f} images a second  {figure.ratio:5.2f} x  "
            f"{figure.batches_per_second:7.1f} batches a second  {megabytes:7.1f} MB a second"
        )
    for figure in result.figures[-2:]:
        print(
            f"  {images:,} {figure.name.removeprefix('condset, ')} take {duration(images / figure.images_per_second)}"
        )
