"""`condset eval RUN [RUN ...] --data DATASET --out DIR [--json]`: how well adapters' pictures follow their conditions.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.interruption import resumable
from pipeline.commands.options import (
    AsJson,
    DeviceName,
    ExecutorName,
    Executors,
    RayAddress,
    WeightsDir,
    choose_environment,
)
from pipeline.commands.say import say
from stages.hardware.precision import Dtype
from train.commands.local import local
from train.commands.sampler_options import DEFAULT, ActiveShare, Base, BaseConfig, Guidance, Seed, Steps, Variant
from train.sampling.settings import SamplerSettings


def evaluate(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            callback=local,
            help="Directory of a training run, whose last checkpoint is measured. Several runs with one base model, "
            "each for another condition, are measured together and each alone.",
            show_default=False,
        ),
    ],
    data: Annotated[str, typer.Option(help="Finished data set that the runs were not trained on.")],
    out: Annotated[
        Path, typer.Option(callback=local, help="The evaluation's directory; run again to go on where it stopped.")
    ],
    weight: Annotated[
        list[float] | None,
        typer.Option(help="Weight of each run's adapter, in the order of the runs.", show_default="1"),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=2, help="Number of samples to draw: the first ones of the data set.")
    ] = 64,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="t2i-adapter|ip-adapter",
            help="Also compute the figures that this paper reports: FID, CLIP-T, CLIP-I.",
        ),
    ] = None,
    pictures_per_caption: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pictures drawn for each sample; their scores are averaged.",
            show_default="1, or the protocol's",
        ),
    ] = None,
    seed: Seed = DEFAULT.seed,
    steps: Steps = DEFAULT.steps,
    guidance: Guidance = DEFAULT.guidance,
    active_share: ActiveShare = DEFAULT.active_share,
    base: Base = None,
    variant: Variant = None,
    base_config: BaseConfig = None,
    device: Annotated[DeviceName, typer.Option(help="Device that the networks run on.")] = DeviceName.AUTO,
    dtype: Annotated[Dtype, typer.Option(help="Precision of the base model.")] = "auto",
    weights_dir: WeightsDir = None,
    executor: Executors = ExecutorName.RAY,
    ray_address: RayAddress = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of workers that draw pictures and then extract conditions.",
            show_default="as the machine allows",
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pictures drawn at once, at most 8.", show_default="1 on a CPU, 8 on CUDA")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure fidelity: draw held-out samples, extract their conditions again and compare, with controls."""
    from pipeline.config import ExecutionConfig
    from train.fidelity.evaluate import EvaluationJob
    from train.fidelity.evaluate import evaluate as measure
    from train.fidelity.report import report_json, report_table

    job = EvaluationJob(
        runs=tuple(runs),
        data=data,
        out=out,
        weights=tuple(weight or ()),
        samples=samples,
        pictures_per_caption=pictures_per_caption,
        protocol=protocol,
        sampler=SamplerSettings(steps, guidance, active_share, seed),
        base=base,
        variant=variant,
        base_config=base_config,
        dtype=dtype,
        execution=ExecutionConfig(device=device.value, workers=workers or 0, batch_size=batch_size or 0),
    )
    environment = choose_environment(executor, ray_address, weights_dir)
    with resumable("committed shards of pictures stay"):
        found = measure(job, environment)
    state = "is complete already" if found.was_complete else "is complete"
    complete = f"{out} {state}: {out / 'eval.json'}, {out / 'sheet.png'}"
    if as_json:
        print(report_json(found.report))
        say(complete)
    else:
        print(f"{report_table(found.report)}\n\n{complete}")
