"""The data commands: `condset prepare`, `verify`, ... Each parses options, calls one function, prints what came out.

Heavy imports are inside the commands, so that `condset --help` is there at once.
"""

import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import doctor
from pipeline.commands.exchange import push as push_cli
from pipeline.commands.look import bench
from pipeline.commands.look import inspect as inspect_cli
from pipeline.commands.look import weights as weights_cli
from pipeline.commands.say import say

if TYPE_CHECKING:
    from pipeline.config import PrepareConfig
    from pipeline.doctor import Finding
    from pipeline.execution.inline import Executor
    from pipeline.run import Summary
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
    Path | None, typer.Option(help="Where weights lie, as <model>/<file>.", envvar="CONDSET_WEIGHTS")
]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Overrides one setting: table.key=value (TOML values).")]
Device = Annotated[
    DeviceName | None, typer.Option(help="Where the networks run.", show_default="the configuration's, auto")
]


def prepare(
    config: Config,
    out: Out = None,
    onto: Annotated[str | None, typer.Option(help="A complete data set: adds the conditions to it as a layer.")] = None,
    executor: Annotated[ExecutorName, typer.Option(help="ray: a local or remote cluster; inline: this process.")] = (
        ExecutorName.RAY
    ),
    ray_address: Annotated[
        str | None, typer.Option(help="A running cluster; without it Ray starts a local one.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Annotating workers.", show_default="as the machine allows")
    ] = None,
    device: Device = None,
    weights_dir: WeightsDir = None,
    retry_rejected: Annotated[
        str | None, typer.Option(metavar="REASON,...", help="Try samples again that were rejected for these reasons.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N rows of the source.")] = None,
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
    chosen = choose_executor(executor, ray_address)
    if (out is None) == (onto is None):
        raise ConfigError("prepare must have either --out DIR for a new data set or --onto DATASET for a layer")
    if onto is not None and retry_rejected is not None:
        raise ConfigError(
            "--retry-rejected must go with --out, got --onto; a layer rejects what its network cannot see"
        )
    if onto is not None:
        run_layer(settings, onto, chosen, weights_dir)
    elif out is not None:
        run_prepare(settings, out, chosen, weights_dir, retry_rejected)


def run_prepare(
    config: "PrepareConfig", out: str, executor: "Executor", weights_dir: Path | None, retry: str | None = None
) -> None:
    """Run the main job, or try rejected samples of it again, and say what it did."""
    from pipeline.dataset.storage import Directory
    from pipeline.retry import parse_reasons, retry_rejected
    from pipeline.run import prepare as run

    directory, weights = Directory(out), _weights(weights_dir)
    with _stopping_cleanly():
        if retry is None:
            summary = run(config, directory, executor, weights, say)
        else:
            summary = retry_rejected(config, directory, executor, weights, say, parse_reasons(retry))
    _report(out, summary)


def run_layer(config: "PrepareConfig", onto: str, executor: "Executor", weights_dir: Path | None) -> None:
    """Add conditions to a data set and say what was done."""
    from pipeline.dataset.storage import Directory
    from pipeline.layer import prepare_layer

    with _stopping_cleanly():
        directory, summary = prepare_layer(config, Directory(onto), executor, _weights(weights_dir), say)
    _report(str(directory), summary)


@contextlib.contextmanager
def _stopping_cleanly() -> Iterator[None]:
    """End an interrupted run with exit 130 and what to type to go on; batch systems interrupt with SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        say(f"interrupted; committed shards stay. Go on with: {shlex.join(['condset', *sys.argv[1:]])}")
        raise typer.Exit(130) from None


def _report(where: str, summary: "Summary") -> None:
    totals = summary.manifest.totals
    reasons = ", ".join(f"{count} {reason}" for reason, count in totals.rejected_by_reason.items())
    rejected = f"{totals.rejected} rejected ({reasons})" if reasons else "none rejected"
    done = f"{totals.samples} samples in {totals.shards} shards, {rejected}"
    if summary.shards_made == 0:
        print(f"{where} is complete already: {done}")
    else:
        print(f"{where} is complete: {done}; {summary.images_per_second:.1f} img/s")


def _weights(directory: Path | None) -> "WeightsStore":
    from stages.weights.store import WeightsStore

    return WeightsStore(directory and directory.absolute())


def verify(
    dataset: Dataset,
    deep: Annotated[bool, typer.Option("--deep", help="Compute every condition again from the stored images.")] = False,
    weights_dir: WeightsDir = None,
    device: Device = None,
) -> None:
    """Check a data set: hashes, counts, offsets, members and, with --deep, every condition. Exit 1 if it is unsound."""
    from rich.console import Console
    from rich.progress import Progress

    from pipeline.dataset.storage import Directory
    from pipeline.verify.dataset import rows_to_check
    from pipeline.verify.dataset import verify as check

    directory, chosen = Directory(dataset), device.value if device else "auto"
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("checking samples", total=rows_to_check(directory))
        report = check(directory, deep, _weights(weights_dir), chosen, lambda rows: bar.advance(task, rows))
    for problem in report.problems:
        print(problem)
    depth = " and every condition" if deep else ""
    if report.problems:
        print(f"{dataset} is unsound: {len(report.problems)} problems in {report.shards} shards")
        raise typer.Exit(1)
    print(
        f"{dataset} is sound: {report.samples} samples in {report.shards} shards, every hash, count and member{depth}"
    )


def choose_executor(name: ExecutorName, ray_address: str | None) -> "Executor":
    """Make the executor of a name; ConfigError if there is an address that it has no use for."""
    from stages.errors import ConfigError

    if name is ExecutorName.RAY:
        from pipeline.execution.ray import RayExecutor

        return RayExecutor(ray_address)
    if ray_address:
        raise ConfigError(f"--ray-address must go with --executor ray, got {ray_address!r} with inline")
    from pipeline.execution.inline import InlineExecutor

    return InlineExecutor()


def _check_ray() -> "Finding":
    from pipeline.execution.ray import examine_ray

    return examine_ray()


def mount(app: typer.Typer) -> None:
    """Add the data commands to the console script."""
    from pipeline.commands.make.encode import encode  # here, because it takes its options from this module

    for command in (prepare, verify, inspect_cli.inspect, push_cli.push, encode):
        app.command()(command)
    app.add_typer(weights_cli.app, name="weights")
    app.add_typer(bench.app, name="bench")
    app.command("doctor")(doctor.command(_check_ray))
