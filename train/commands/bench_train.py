"""`condset bench train`: mounted beside the benches of `pipeline`, which knows nothing of training."""

from typing import Annotated, Literal

import typer

from pipeline.commands.look.bench import ESTIMATED_IMAGES, Device, Images, Rounds
from pipeline.commands.options import AsJson
from pipeline.commands.say import say
from train.bench.models import ModelName


def bench_train(
    model: Annotated[
        list[ModelName] | None,
        typer.Option(help="Base model, may be given several times. Default: sd15 on a GPU, tiny and half on a CPU."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=64, help="Width and height of the images in pixels. Default: 512 for sd15, 256 for the others."
        ),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Samples in a step. Default: 8, for half 2.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps timed in each round. Default: 20, for half 4.")
    ] = None,
    rounds: Rounds = 3,
    device: Device = "auto",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option(help="Precision of the frozen networks and of matrix products."),
    ] = "auto",
    images: Images = ESTIMATED_IMAGES,
    as_json: AsJson = False,
) -> None:
    """Training steps a second and their memory: a plain diffusers loop, and condset with images and with latents."""
    import json

    from stages.hardware.precision import resolve_device, resolve_dtype
    from train.bench.steps import USUAL, StepSetting
    from train.bench.steps import bench_train as measure

    found = resolve_device(device)
    results = []
    for name in model or ([ModelName.SD15] if found == "cuda" else [ModelName.TINY, ModelName.HALF]):
        usual = USUAL[name]
        setting = StepSetting(
            model=name,
            size_pixels=size or usual.size_pixels,
            batch_size=batch or usual.batch_size,
            steps=steps or usual.steps,
            device=found,
            dtype=resolve_dtype(dtype, found),
        )
        result = measure(setting, rounds, say)
        if as_json:
            results.append(result.for_machines(images))
        else:
            print("\n".join(result.lines(images)))
    if as_json:
        print(json.dumps(results, indent=2))
