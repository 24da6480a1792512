"""`condset train-base CONFIG --out DIR`: make a small base model of drawn scenes, as the one that condset ships."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.interruption import resumable
from pipeline.commands.options import DeviceName, Sets
from train.commands.local import local


def train_base(
    config: Annotated[
        Path, typer.Argument(callback=local, help="A recipe, such as configs/base/scenes.toml.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(
            callback=local,
            help="Directory for the checkpoints; the finished model goes to OUT/model.",
            show_default=False,
        ),
    ],
    set_: Sets = None,
    device: Annotated[DeviceName, typer.Option(help="Device that the networks are trained on.")] = DeviceName.AUTO,
) -> None:
    """Make a small base model of drawn scenes from nothing. Run it again to go on after a stop."""
    from rich.console import Console
    from rich.progress import Progress

    from pipeline.config import load_config
    from stages.hardware.precision import resolve_device
    from train.scene_base.make import make_base
    from train.scene_base.recipe import BaseRecipe

    recipe = load_config(config, set_ or [], BaseRecipe)
    errors = Console(stderr=True)
    with Progress(console=errors, disable=not errors.is_terminal) as bar:
        tasks = {
            name: bar.add_task(name, total=fit.steps)
            for name, fit in (("autoencoder", recipe.autoencoder), ("denoiser", recipe.denoiser))
        }

        def stepped(name: str, done: int, loss: float) -> None:
            bar.update(tasks[name], completed=done, description=f"{name} loss {loss:.4f}")
            if bar.disable:
                print(f"{name} step {done}, loss {loss:.4f}", flush=True)

        with resumable("the last checkpoint stays"):
            model = make_base(recipe, out, resolve_device(device.value), stepped)
    print(f"{model} is complete: its card is {model / 'README.md'}")
