"""`condset quickstart`: the whole way in small, from drawn scenes to a trained adapter and a picture of it."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import ExecutorName, choose_executor, run_prepare

CONFIGS = Path(__file__).parent.parent / "configs" / "quickstart"


def quickstart(
    out: Annotated[Path, typer.Option(help="A directory; the data come into OUT/data, the run into OUT/run.")] = Path(
        "quickstart"
    ),
    executor: Annotated[ExecutorName, typer.Option(help="ray or inline.")] = ExecutorName.RAY,
) -> None:
    """Make a small data set of drawn scenes and train an adapter on it: no GPU, no network, no weights."""
    from pipeline.config import PrepareConfig, load_config
    from train.config import TrainConfig
    from train.run import TrainJob
    from train.train_cli import run_train

    data, run = str(out / "data"), out / "run"
    prepare_config = load_config(CONFIGS / "data.toml", [], PrepareConfig)
    run_prepare(prepare_config, data, choose_executor(executor, None), None)
    run_train(TrainJob(load_config(CONFIGS / "train.toml", [], TrainConfig), (data,), None, run))
    picture = sorted((run / "previews").glob("*.png"))[-1]
    print(f"{picture} shows the condition, the base model alone and with the adapter")
