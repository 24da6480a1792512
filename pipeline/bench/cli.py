"""`condset bench`: what this machine does in a second, beside the reference implementation in the same run."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Measure this machine, beside the reference implementations.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print for machines.")]


@app.command()
def sketch(
    images: Annotated[int, typer.Option(min=1, help="Images in each round.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the medians are compared.")] = 3,
    size: Annotated[int, typer.Option(min=64, help="Side of the images in pixels.")] = 512,
    weights_dir: Annotated[Path | None, typer.Option(help="Where weights lie; random ones serve as well.")] = None,
    as_json: AsJson = False,
) -> None:
    """PiDiNet: controlnet_aux's detector, condset in float32 and bfloat16, and the share of a run around it."""
    import json

    from pipeline.bench.sketch import bench_sketch

    result = bench_sketch(size, images, rounds, weights_dir)
    if as_json:
        print(json.dumps(asdict(result), indent=2))
        return
    weights = "the published weights" if result.real_weights else "random weights"
    print(f"PiDiNet at {size}x{size}, {result.threads} threads, {weights}, {rounds} rounds of {images} images")
    for timing in result.timings:
        print(f"  {timing.name:32} {timing.seconds_per_image:7.3f} s an image  {timing.speedup:5.2f} x")
    print(f"  not the network, in steady state {result.other_share:7.1%} of the wall time")


@app.command()
def index(
    rows: Annotated[int, typer.Option(min=1, help="Rows of LAION metadata to make and list.")] = 10_000_000,
    as_json: AsJson = False,
) -> None:
    """Listing LAION metadata into index.parquet: rows a second and peak memory, with filters and deduplication."""
    import json

    from pipeline.bench.index import bench_index

    result = bench_index(rows)
    if as_json:
        print(json.dumps(asdict(result) | {"rows_per_second": result.rows_per_second}, indent=2))
        return
    print(
        f"{result.rows} rows in {result.seconds:.1f} s ({result.cpu_seconds:.1f} s of CPU), {result.rows_listed} listed"
    )
    print(f"  {result.rows_per_second:,.0f} rows a second, peak memory {result.peak_memory_bytes / 1e9:.2f} GB")
