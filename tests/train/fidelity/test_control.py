"""Control is real: an adapter that is trained as the quickstart trains it steers the base model that condset ships."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import PrepareConfig, load_config
from pipeline.dataset.storage import Directory
from pipeline.run import prepare
from tests.offline import offline
from train.commands.quickstart import CONFIGS, HELD_OUT, quickstart_evaluation
from train.config import TrainConfig
from train.fidelity.evaluate import evaluate
from train.fidelity.report import MeasureFigure
from train.fidelity.variants import REAL, SHUFFLED, WITH, WITHOUT
from train.loop.run import TrainJob, train
from train.loop.watch import SilentWatcher
from train.loop.worker import Worker

SAMPLES = 48


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes(tmp_path_factory.mktemp("control") / "data", ())


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes(tmp_path_factory.mktemp("control") / "held_out", (*HELD_OUT, f"source.count={SAMPLES}"))


def scenes(directory: Path, overrides: tuple[str, ...]) -> Path:
    config = load_config(CONFIGS / "data.toml", overrides, PrepareConfig)
    prepare(config, Directory(str(directory)), offline())
    return directory


def trained(condition: str, data: Path, out: Path) -> Path:
    """Train as the quickstart does, for any condition."""
    config = load_config(
        CONFIGS / "train.toml", [f'condition="{condition}"', "validation.preview_every=0"], TrainConfig
    )
    train(TrainJob(config, (str(data),), None, out), Worker(), SilentWatcher())
    return out


def measured(runs: tuple[Path, ...], held_out: Path, out: Path) -> list[MeasureFigure]:
    job = quickstart_evaluation(runs, str(held_out), out, SAMPLES)
    return evaluate(job, offline()).report.figures


@pytest.fixture(scope="module")
def canny(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained("canny", data, tmp_path_factory.mktemp("canny") / "run")


@pytest.fixture(scope="module")
def color(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained("color", data, tmp_path_factory.mktemp("color") / "run")


@pytest.mark.slow
@pytest.mark.parametrize("condition", ["canny", "color"])
def test_an_adapter_is_at_least_half_way_from_the_base_to_the_real_pictures(
    condition: str,
    held_out: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    (figure,) = measured((request.getfixturevalue(condition),), held_out, tmp_path / "eval")
    means = {name: estimate.mean for name, estimate in figure.means.items()}
    record_property(f"{condition}, {figure.name}", ", ".join(f"{name} {mean:.3f}" for name, mean in means.items()))
    better = 1 if figure.ideal else -1
    for control in (WITHOUT, SHUFFLED):
        difference = figure.differences[control]
        assert min(better * difference.low, better * difference.high) > 0, f"{control}: {difference}"
    assert (means[WITH] - means[WITHOUT]) / (means[REAL] - means[WITHOUT]) >= 0.5


@pytest.mark.slow
def test_two_adapters_together_beat_each_alone_on_both_fidelities(
    canny: Path, color: Path, held_out: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    for figure in measured((canny, color), held_out, tmp_path / "eval"):
        means = {name: estimate.mean for name, estimate in figure.means.items()}
        record_property(f"both, {figure.name}", ", ".join(f"{name} {mean:.3f}" for name, mean in means.items()))
        better = 1 if figure.ideal else -1
        for alone in ("only-canny", "only-color"):
            assert better * means[WITH] > better * means[alone], f"{figure.name}, {alone}: {means}"
