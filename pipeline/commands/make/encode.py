"""`condset encode DATASET --model SD`: the images of a data set in the space of Stable Diffusion's VAE, as a layer.

    DATASET/shards ──stored images──> VAE ──> DATASET/layers/latents      training reads it in place of the images

It is `condset prepare --onto` with one annotator and no configuration file: it is resumed and refused the same way.
"""

from typing import Annotated

import typer

from pipeline.commands.make.prepare import run_layer
from pipeline.commands.options import (
    Dataset,
    Device,
    ExecutorName,
    Executors,
    RayAddress,
    TakeOver,
    choose_environment,
)
from stages.hardware.precision import Dtype


def encode(
    dataset: Dataset,
    model: Annotated[
        str,
        typer.Option(help="Stable Diffusion model in diffusers' layout: a directory or a hub id.", show_default=False),
    ],
    revision: Annotated[str | None, typer.Option(help="Revision of the hub's repository.")] = None,
    variant: Annotated[str | None, typer.Option(help="Variant of the weight files, such as fp16.")] = None,
    dtype: Annotated[Dtype, typer.Option(help="Precision of the VAE; the latents are stored in 16 bits.")] = "auto",
    executor: Executors = ExecutorName.RAY,
    ray_address: RayAddress = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of workers that encode.", show_default="as the machine allows")
    ] = None,
    device: Device = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images that are encoded at once.", show_default="1 on a CPU, 16 on CUDA")
    ] = None,
    take_over: TakeOver = False,
) -> None:
    """Encode a data set's images once, as the layer latents, for training. Run it again to go on after a stop."""
    from pipeline.config import ExecutionConfig
    from pipeline.dataset.manifest import load_dataset
    from pipeline.dataset.storage import Directory
    from pipeline.layer import base_config
    from stages.annotators.latents import LatentsConfig
    from stages.settings import changed

    environment = choose_environment(executor, ray_address, None, take_over)
    base = Directory(dataset)
    below = base_config(base, load_dataset(base))
    execution = ExecutionConfig(
        device=device.value if device else "auto", workers=workers or 0, batch_size=batch_size or 0
    )
    latents = LatentsConfig(model=model, revision=revision, variant=variant, dtype=dtype)
    run_layer(changed(below, annotators=(latents,), execution=execution), dataset, environment)
