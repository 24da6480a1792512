"""`condset bench train`: mounted beside the benches of `pipeline`, which knows nothing of training."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.bench.cli import AsJson
from pipeline.cli import DeviceName
from pipeline.saying import say
from train.bench_models import ModelName

if TYPE_CHECKING:
    from train.bench_train import TrainBench


def bench_train(
    model: Annotated[
        list[ModelName] | None,
        typer.Option(help="May be given several times; if not, sd15 on a GPU, tiny and half on a CPU."),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=64, help="Side of the images in pixels; if not given, 512 for sd15, else 256.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Samples of a step; if not given, 8, for half 2.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Timed steps of a round; if not given, 20, for half 4.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the medians are compared.")] = 3,
    device: Annotated[DeviceName, typer.Option(help="Where everything runs.")] = DeviceName.AUTO,
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Of the frozen networks and of products.")
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Training steps a second and their memory: a plain diffusers loop, and condset with images and with latents."""
    import json

    from stages.precision import resolve_device, resolve_dtype
    from train.bench_train import USUAL, Setting
    from train.bench_train import bench_train as measure

    found = resolve_device(device.value)
    results = []
    for name in model or ([ModelName.SD15] if found == "cuda" else [ModelName.TINY, ModelName.HALF]):
        usual = USUAL[name]
        setting = Setting(
            model=name,
            size_pixels=size or usual.size_pixels,
            batch_size=batch or usual.batch_size,
            steps=steps or usual.steps,
            device=found,
            dtype=resolve_dtype(dtype, found),
        )
        results.append(measure(setting, rounds, say))
        if not as_json:
            _show(results[-1])
    if as_json:
        print(json.dumps([asdict(result) for result in results], indent=2))


def _show(result: "TrainBench") -> None:
    setting = result.setting
    size = f"{setting.size_pixels}x{setting.size_pixels}"
    where = "a GPU" if setting.device == "cuda" else f"{result.threads} threads"
    print(
        f"{setting.model} at {size}, batch {setting.batch_size}, {setting.dtype}, {where}, "
        f"{result.rounds} rounds of {setting.steps} steps"
    )
    for figure in result.figures:
        print(
            f"  {figure.name:36} {figure.images_per_second:8.2f} images a second  {figure.speedup:5.2f} x  "
            f"{figure.peak_memory_bytes / 1e9:6.2f} GB"
        )
