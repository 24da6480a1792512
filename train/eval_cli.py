"""`condset eval RUN --data DATASET --out DIR`: how well an adapter's pictures follow their conditions.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import DeviceName, ExecutorName, WeightsDir, choose_executor
from stages.precision import Dtype


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's directory; its last checkpoint is taken.", show_default=False)],
    data: Annotated[str, typer.Option(help="A finished data set that the run was not trained on.")],
    out: Annotated[Path, typer.Option(help="The evaluation's directory; run again to go on where it stopped.")],
    samples: Annotated[int, typer.Option(min=2, help="The first so many of the data set.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of the first sample; each further one has the next.")] = 0,
    steps: Annotated[int, typer.Option(min=1, max=999, help="Of the sampler, DDIM.")] = 50,
    guidance: Annotated[float, typer.Option(min=1, help="Classifier-free guidance scale; 1 is none.")] = 7.5,
    active_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of the steps, from the first, in which the adapter is active.")
    ] = 1.0,
    base: Annotated[
        str | None,
        typer.Option(
            help="A Stable Diffusion in diffusers' layout: a directory, or a hub id.", show_default="the run's"
        ),
    ] = None,
    device: Annotated[DeviceName, typer.Option(help="Where the networks run.")] = DeviceName.AUTO,
    dtype: Annotated[Dtype, typer.Option(help="That the base runs in.")] = "auto",
    weights_dir: WeightsDir = None,
    executor: Annotated[ExecutorName, typer.Option(help="What extracts the conditions: ray or inline.")] = (
        ExecutorName.INLINE
    ),
) -> None:
    """Measure fidelity: draw held-out samples, extract their conditions again and compare, with three controls."""
    from rich.console import Console
    from rich.progress import Progress

    from stages.weights import WeightsStore
    from train.evaluation import EvaluationJob, Surroundings
    from train.evaluation import evaluate as measure
    from train.fidelity.report import report_table

    job = EvaluationJob(
        run=run,
        data=data,
        out=out,
        samples=samples,
        seed=seed,
        steps=steps,
        guidance=guidance,
        active_share=active_share,
        base=base,
        device=device.value,
        dtype=dtype,
    )
    errors = Console(stderr=True)
    bar = Progress(console=errors, transient=True, disable=not errors.is_terminal)
    task = bar.add_task("drawing", total=None)

    def drawn(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if done == total:
            bar.stop()  # extracting shows its own

    surroundings = Surroundings(
        executor=lambda: choose_executor(executor, None),
        weights=WeightsStore(weights_dir and weights_dir.absolute()),
        say=lambda sentence: print(sentence, file=sys.stderr, flush=True),
        drawn=drawn,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # batch systems interrupt with it
    try:
        with bar:
            found = measure(job, surroundings)
    except KeyboardInterrupt:
        again = shlex.join(["condset", *sys.argv[1:]])
        print(f"interrupted; every drawn picture is kept. Go on with: {again}", file=sys.stderr)
        raise typer.Exit(130) from None
    print(report_table(found.report))
    state = "is complete already" if found.was_complete else "is complete"
    print(f"\n{out} {state}: {out / 'eval.json'}, {out / 'sheet.png'}")
