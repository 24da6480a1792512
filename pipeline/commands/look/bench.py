"""`condset bench`: what this machine does in a second, beside the reference implementation in the same run."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.commands.options import AsJson
from pipeline.commands.say import say

if TYPE_CHECKING:
    from pipeline.bench.measure import Table
    from pipeline.bench.networks import Timing

app = typer.Typer(help="Measure the speed of this machine, beside the reference implementations.", no_args_is_help=True)

ImagesTimed = Annotated[
    int | None, typer.Option(min=1, help="Images timed in each round; by default as many as the device needs.")
]
Rounds = Annotated[int, typer.Option(min=1, help="Number of rounds; their medians are compared.")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Device that the networks run on.")]
WeightsDir = Annotated[
    Path | None,
    typer.Option(
        help="Directory of the weights; random ones are as fast and are used for those that are missing.",
        envvar="CONDSET_WEIGHTS",
    ),
]
Images = Annotated[
    int, typer.Option("--images", min=1, help="Also estimate how long this many images take on this machine.")
]
ESTIMATED_IMAGES = 600_000


def _multiple_of_64(size_pixels: int) -> int:
    if size_pixels % 64:
        raise typer.BadParameter(
            f"must be a multiple of 64 pixels, to which controlnet_aux rounds, got {size_pixels}; "
            f"use {max(1, round(size_pixels / 64)) * 64}"
        )
    return size_pixels


Size = Annotated[int, typer.Option(min=64, callback=_multiple_of_64, help="Width and height of the images in pixels.")]


@app.command()
def sketch(
    images_timed: ImagesTimed = None,
    rounds: Rounds = 3,
    size: Size = 512,
    device: Device = "auto",
    images: Images = ESTIMATED_IMAGES,
    weights_dir: WeightsDir = None,
    as_json: AsJson = False,
) -> None:
    """PiDiNet: controlnet_aux's detector, and condset in float32 and bfloat16."""
    from pipeline.bench.detectors import bench_sketch

    timing = _timing(size, images_timed, rounds, device, usual={"cpu": 8, "cuda": 256})
    _print(bench_sketch(timing, weights_dir, say), images, as_json)


@app.command()
def depth(
    images_timed: ImagesTimed = None,
    rounds: Rounds = 3,
    size: Size = 512,
    device: Device = "auto",
    images: Images = ESTIMATED_IMAGES,
    weights_dir: WeightsDir = None,
    as_json: AsJson = False,
) -> None:
    """MiDaS dpt_hybrid: controlnet_aux's detector, and condset in float32 and bfloat16."""
    from pipeline.bench.detectors import bench_depth

    timing = _timing(size, images_timed, rounds, device, usual={"cpu": 3, "cuda": 128})
    _print(bench_depth(timing, weights_dir, say), images, as_json)


@app.command()
def keypose(
    model: Annotated[Literal["rtmo-s", "rtmo-m", "rtmo-l"], typer.Option(help="The pose network.")] = "rtmo-m",
    images_timed: ImagesTimed = None,
    rounds: Rounds = 3,
    size: Size = 512,
    device: Device = "auto",
    images: Images = ESTIMATED_IMAGES,
    weights_dir: WeightsDir = None,
    as_json: AsJson = False,
) -> None:
    """RTMO: mmpose's inferencer, and condset."""
    from pipeline.bench.keypose import bench_keypose

    timing = _timing(size, images_timed, rounds, device, usual={"cpu": 8, "cuda": 256})
    _print(bench_keypose(model, timing, weights_dir, say), images, as_json)


@app.command()
def prepare(
    images_timed: ImagesTimed = None,
    rounds: Rounds = 3,
    size: Size = 512,
    device: Device = "auto",
    images: Images = ESTIMATED_IMAGES,
    every_condition: Annotated[
        bool,
        typer.Option(
            "--every-condition",
            help="Measure all six conditions in one pass and their networks alone, without the plain loop.",
        ),
    ] = False,
    weights_dir: WeightsDir = None,
    as_json: AsJson = False,
) -> None:
    """Sketch, color and segmentation end to end: the loop that people write, and condset inline and on Ray."""
    from pipeline.bench.one_pass import bench_every_condition
    from pipeline.bench.prepare import bench_prepare

    bench = bench_every_condition if every_condition else bench_prepare
    timing = _timing(size, images_timed, rounds, device, usual={"cpu": 48, "cuda": 512})
    _print(bench(timing, weights_dir, say), images, as_json)


def _timing(size: int, images: int | None, rounds: int, device: str, usual: dict[str, int]) -> "Timing":
    """Settle where and how long; `usual` are the images that are enough for each device."""
    from pipeline.bench.networks import Timing
    from stages.hardware.precision import resolve_device

    found = resolve_device(device)
    return Timing(size, images or usual[found], rounds, found)


def _print(table: "Table", images: int, as_json: bool) -> None:
    """Print a table and its estimate, which is for the last row."""
    import json

    print(json.dumps(table.for_machines(images), indent=2) if as_json else "\n".join(table.lines(images)))


@app.command()
def index(
    rows: Annotated[int, typer.Option(min=1, help="Rows of LAION metadata to make and list.")] = 10_000_000,
    as_json: AsJson = False,
) -> None:
    """Listing LAION metadata into an index: rows a second and peak memory, with filters and deduplication."""
    import json

    from pipeline.bench.index import bench_index

    result = bench_index(rows)
    if as_json:
        print(json.dumps(asdict(result) | {"rows_per_second": result.rows_per_second}, indent=2))
        return
    print(
        f"{result.rows:,} synthetic rows of LAION metadata in {result.seconds:.1f} s ({result.cpu_seconds:.1f} s of "
        f"CPU), {result.rows_listed:,} listed"
    )
    print(f"  {result.rows_per_second:,.0f} rows a second, peak memory {result.peak_memory_bytes / 1e9:.2f} GB")


@app.command()
def read(
    samples: Annotated[int, typer.Option(min=1, help="Samples that are read.")] = 512,
    rounds: Rounds = 3,
    size: Size = 512,
    images: Images = ESTIMATED_IMAGES,
    as_json: AsJson = False,
) -> None:
    """Opening 67 million samples, and reading at random beside webdataset in order."""
    import json

    from pipeline.bench.reading import bench_read

    result = bench_read(samples, size, rounds, say)
    if as_json:
        print(json.dumps({"opening": asdict(result.opening), "reading": result.reading.for_machines(images)}, indent=2))
        return
    opening = result.opening
    print(
        f"{opening.shards:,} shards, {opening.samples:,} samples opened in {opening.seconds:.1f} s with "
        f"{opening.memory_bytes / 1e6:.0f} MB"
    )
    print("\n".join(result.reading.lines(images)))
