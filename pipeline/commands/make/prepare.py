"""`condset prepare CONFIG --out DIR`: the main job, or with --onto DATASET a layer of a data set that is there.

Heavy imports are inside the functions, so that `condset --help` is there at once.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.interruption import resumable
from pipeline.commands.options import (
    Config,
    Device,
    ExecutorName,
    Executors,
    Out,
    RayAddress,
    Sets,
    TakeOver,
    WeightsDir,
    choose_environment,
)

if TYPE_CHECKING:
    from pipeline.config import PrepareConfig
    from pipeline.environment import Environment


def prepare(
    config: Config,
    out: Out = None,
    onto: Annotated[str | None, typer.Option(help="Add the conditions to this complete data set, as a layer.")] = None,
    executor: Executors = ExecutorName.RAY,
    ray_address: RayAddress = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of workers that compute conditions.", show_default="as the machine allows"),
    ] = None,
    device: Device = None,
    weights_dir: WeightsDir = None,
    retry_rejected: Annotated[
        str | None,
        typer.Option(metavar="REASON,...", help="Try again the samples that were rejected for these reasons."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first N rows of the source.")] = None,
    take_over: TakeOver = False,
    set_: Sets = None,
) -> None:
    """Make a data set: images, captions and conditions in WebDataset shards. Run it again to go on after a stop."""
    from pipeline.config import PrepareConfig, load_config
    from stages.errors import ConfigError

    overrides = list(set_ or [])
    if workers is not None:
        overrides.append(f"execution.workers={workers}")
    if device is not None:
        overrides.append(f'execution.device="{device}"')
    if limit is not None:
        overrides.append(f"limit={limit}")
    settings = load_config(config, overrides, PrepareConfig)
    environment = choose_environment(executor, ray_address, weights_dir, take_over)
    if (out is None) == (onto is None):
        got = "neither" if out is None else "both"
        raise ConfigError(
            f"prepare must be given either --out DIR for a new data set or --onto DATASET for a layer, got {got}"
        )
    if onto is not None and retry_rejected is not None:
        raise ConfigError(
            "--retry-rejected must be given with --out, got --onto; what a layer rejects would be rejected again"
        )
    if onto is not None:
        run_layer(settings, onto, environment)
    elif out is not None:
        run_prepare(settings, out, environment, retry_rejected)


def run_prepare(config: "PrepareConfig", out: str, environment: "Environment", retry: str | None = None) -> None:
    """Run the main job, or try rejected samples of it again, and say what it did."""
    from pipeline.commands.make.outcome import report
    from pipeline.dataset.storage import Directory
    from pipeline.retry import parse_reasons, retry_rejected
    from pipeline.run import prepare as run

    directory = Directory(out)
    with resumable("committed shards stay"):
        if retry is None:
            summary = run(config, directory, environment)
        else:
            summary = retry_rejected(config, directory, environment, parse_reasons(retry))
    report(directory, summary)


def run_layer(config: "PrepareConfig", onto: str, environment: "Environment") -> None:
    """Add conditions to a data set and say what was done."""
    from pipeline.commands.make.outcome import report
    from pipeline.dataset.storage import Directory
    from pipeline.layer import prepare_layer

    with resumable("committed shards stay"):
        directory, summary = prepare_layer(config, Directory(onto), environment)
    report(directory, summary)
