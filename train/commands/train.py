"""`condset train`: fit an adapter on finished data sets, or go on where the last run stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.interruption import resumable
from pipeline.commands.options import TakeOver
from train.commands.local import local

if TYPE_CHECKING:
    from train.loop.run import TrainJob

Config = Annotated[
    Path, typer.Argument(callback=local, help="TOML file such as configs/train/sketch.toml.", show_default=False)
]


def train(
    config: Config,
    data: Annotated[
        list[str],
        typer.Option(
            help="Finished data set, or DATASET=SHARE for that share of the samples; may be given several times."
        ),
    ],
    out: Annotated[
        Path, typer.Option(callback=local, help="The run's directory; run again to go on where it stopped.")
    ],
    validation: Annotated[str | None, typer.Option(help="Data set of held-out samples for validation.")] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Number of training processes, one for each GPU (Ray Train, DistributedDataParallel)."
        ),
    ] = 1,
    ray_address: Annotated[
        str | None, typer.Option(help="Address of a running Ray cluster; without it a local one is started.")
    ] = (None),
    take_over: TakeOver = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override one setting: table.key=value (TOML).")
    ] = None,
) -> None:
    """Train an adapter against a frozen Stable Diffusion. Run it again to go on after a stop."""
    from pipeline.config import load_config
    from stages.errors import ConfigError
    from train.config import TrainConfig
    from train.loop.run import TrainJob

    settings = load_config(config, set_ or [], TrainConfig)
    if ray_address is not None and workers == 1:
        raise ConfigError("--ray-address must go with --workers of at least 2, got 1; leave it out")
    run_train(TrainJob(settings, tuple(data), validation, out, take_over), workers, ray_address)


def run_train(job: "TrainJob", workers: int = 1, ray_address: str | None = None) -> None:
    """Train and say what was done; an interrupted run ends with exit 130 and what to type to go on."""
    from train.loop.watch import terminal

    with resumable("every finished step is kept", signals=2), terminal() as watch:
        if workers == 1:
            from train.loop.run import train as run
            from train.loop.worker import Worker

            summary = run(job, Worker(), watch)
        else:
            from train.loop.ray import train_on_ray

            summary = train_on_ray(job, workers, ray_address, watch)
    if summary.steps_made == 0:
        print(f"{job.run} is complete already: {summary.steps} steps, {summary.checkpoint.name}")
    else:
        print(
            f"{job.run} is complete: {summary.steps} steps, {summary.images_per_second:.1f} img/s, "
            f"{summary.checkpoint.name}; `condset export {job.run} --format diffusers --out DIR` makes the adapter"
        )
