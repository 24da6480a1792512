"""`condset quickstart`: the whole way in small, from drawn scenes to an adapter that steers, its picture and number.

OUT/data ──train──> OUT/run ──evaluate on OUT/held_out──> OUT/eval
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.make.prepare import run_prepare
from pipeline.commands.options import ExecutorName, choose_environment
from train.commands.local import local
from train.sampling.settings import SamplerSettings

if TYPE_CHECKING:
    from train.fidelity.evaluate import EvaluationJob

CONFIGS = Path(__file__).parents[2] / "configs" / "quickstart"
SAMPLES = 24
HELD_OUT = ('name="quickstart-held-out"', "source.first=100000", f"source.count={SAMPLES}")
"""What the scenes that no adapter is trained on have of their own."""
SAMPLER = SamplerSettings(steps=20, guidance=3.0)


def quickstart(
    out: Annotated[
        Path,
        typer.Option(
            callback=local,
            help="Directory for the data sets (OUT/data, OUT/held_out), the run (OUT/run) and its evaluation.",
        ),
    ] = Path("quickstart"),
    executor: Annotated[
        ExecutorName, typer.Option(help="ray: make OUT/data on a local Ray cluster; inline: in this process.")
    ] = ExecutorName.RAY,
) -> None:
    """Make a data set of drawn scenes, train an adapter on it and measure it: no GPU, no network, no weights to get."""
    from pipeline.config import PrepareConfig, load_config
    from train.commands.train import run_train
    from train.config import TrainConfig
    from train.fidelity.evaluate import evaluate
    from train.fidelity.report import report_table
    from train.loop.run import TrainJob

    data, held_out, run = str(out / "data"), str(out / "held_out"), out / "run"
    chosen = choose_environment(executor, None, None)
    inline = choose_environment(ExecutorName.INLINE, None, None)
    run_prepare(load_config(CONFIGS / "data.toml", [], PrepareConfig), data, chosen)
    run_prepare(load_config(CONFIGS / "data.toml", HELD_OUT, PrepareConfig), held_out, inline)
    run_train(TrainJob(load_config(CONFIGS / "train.toml", [], TrainConfig), (data,), held_out, run))
    job = quickstart_evaluation((run,), held_out, out / "eval", SAMPLES)
    print(report_table(evaluate(job, inline).report))
    picture = sorted((run / "previews").glob("*.png"))[-1]
    print(f"{picture} shows held-out conditions, the base model alone and with the adapter")


def quickstart_evaluation(runs: tuple[Path, ...], held_out: str, out: Path, samples: int) -> "EvaluationJob":
    """Measure runs as the quickstart does."""
    from pipeline.config import ExecutionConfig
    from train.fidelity.evaluate import EvaluationJob

    execution = ExecutionConfig(batch_size=4)  # a small network at small pictures draws four in less than four times
    return EvaluationJob(runs, held_out, out, samples=samples, sampler=SAMPLER, execution=execution)
