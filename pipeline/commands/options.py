"""The options that several commands have in common, and what they stand for.

Heavy imports are inside the functions, so that `condset --help` is there at once.
"""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.say import say

if TYPE_CHECKING:
    from pipeline.environment import Environment
    from pipeline.execution.inline import Executor
    from stages.weights.store import WeightsStore


class ExecutorName(StrEnum):
    RAY = "ray"
    INLINE = "inline"


class DeviceName(StrEnum):
    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


Config = Annotated[
    Path, typer.Argument(help="A TOML file such as configs/prepare/sketch_coco.toml.", show_default=False)
]
Out = Annotated[str | None, typer.Option(help="The data set's directory; run again to go on where it stopped.")]
Dataset = Annotated[str, typer.Argument(help="A data set's directory.", show_default=False)]
WeightsDir = Annotated[
    Path | None, typer.Option(help="Directory of the weights, one folder for each model.", envvar="CONDSET_WEIGHTS")
]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Override one setting: table.key=value (TOML).")]
Device = Annotated[
    DeviceName | None, typer.Option(help="Device that the networks run on.", show_default="the configuration's, auto")
]
TakeOver = Annotated[
    bool,
    typer.Option(
        "--take-over", help="Do not wait for signs of life of another machine's run, whose lease lies in the directory."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables and sentences.")]
Executors = Annotated[ExecutorName, typer.Option(help="ray: a local or remote Ray cluster; inline: this process.")]
RayAddress = Annotated[
    str | None, typer.Option(help="Address of a running Ray cluster; without it a local one is started.")
]


def choose_executor(name: ExecutorName, ray_address: str | None) -> "Executor":
    """Make the executor of a name; ConfigError if there is an address that it has no use for."""
    from stages.errors import ConfigError

    if name is ExecutorName.RAY:
        from pipeline.execution.ray import RayExecutor

        return RayExecutor(ray_address)
    if ray_address:
        raise ConfigError(f"--ray-address must go with --executor ray, got {ray_address!r} with inline; leave it out")
    from pipeline.execution.inline import InlineExecutor

    return InlineExecutor()


def choose_environment(
    name: ExecutorName, ray_address: str | None, weights_dir: Path | None, take_over: bool = False
) -> "Environment":
    """Collect what the options give a run, which tells its sentences on standard error; raises as `choose_executor`."""
    from pipeline.environment import Environment

    return Environment(choose_executor(name, ray_address), weights_store(weights_dir), say, take_over)


def weights_store(directory: Path | None) -> "WeightsStore":
    """Open the store of weights; workers may run elsewhere, so its path is absolute."""
    from stages.weights.store import WeightsStore

    store = WeightsStore(directory)
    return replace(store, directory=store.directory and store.directory.absolute())
