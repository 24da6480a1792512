"""Data sets, a base model and readers that the trainer's tests share; made once, never written to."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.storage import Directory
from pipeline.layer import prepare_layer
from pipeline.run import prepare
from stages.records import Condition
from tests.offline import offline
from tests.tiny_autoencoder import CHANNELS, STRIDE, save_autoencoder
from train.data.batch import VisitReader
from train.data.conditions import ConditionsConfig
from train.data.draws import ObjectiveConfig
from train.data.order import SampleOrder
from train.data.training_set import open_training_sets

if TYPE_CHECKING:
    from train.base.stable_diffusion import Parts, StableDiffusion

SIDE_PIXELS = 64
SAMPLES = 24
SAMPLES_PER_SHARD = 5
ANNOTATORS = ({"kind": "color"}, {"kind": "segmentation"}, {"kind": "keypose", "from": "annotations"})


def scenes_config(**changes: object) -> PrepareConfig:
    """24 scenes of 64 pixels, five to a shard, as PNG; keyword arguments replace the tables."""
    tables: dict[str, object] = {
        "name": "scenes",
        "samples_per_shard": SAMPLES_PER_SHARD,
        "source": {"kind": "synthetic", "count": SAMPLES, "width_pixels": 96, "height_pixels": 80},
        "image": {"size_pixels": SIDE_PIXELS, "format": "png"},
        "annotators": list(ANNOTATORS),
        "execution": {"device": "cpu", "threads_per_worker": 1},
    }
    return check_config(tables | changes, "test", PrepareConfig)


def prepare_scenes(out: Path, **changes: object) -> Path:
    """Make a data set with the inline executor."""
    prepare(scenes_config(**changes), Directory(str(out)), offline())
    return out


def add_layer(data: Path, annotator: dict[str, object]) -> None:
    """Compute one more condition onto a data set."""
    prepare_layer(scenes_config(annotators=[annotator]), Directory(str(data)), offline())


def keys(samples: int = SAMPLES, first: int = 0) -> list[str]:
    """The keys of scenes, in their order."""
    return [f"{number:09d}" for number in range(first, first + samples)]


def open_reader(
    data: Sequence[Path],
    condition: Condition = Condition.COLOR,
    window: int | None = None,
    use_latents: bool = True,
    seed: int = 0,
    **conditions: object,
) -> VisitReader:
    """Read data sets as a run with the tiny autoencoder does; keyword arguments are settings of `[conditions]`."""
    sets = open_training_sets([str(each) for each in data], condition, use_latents)
    shards = [shard for number, each in enumerate(sets) for shard in each.shards(number)]
    width, height = sets[0].size_pixels
    return VisitReader(
        sets=sets,
        shards=shards,
        order=SampleOrder([shard.samples for shard in shards], window, seed),
        condition=condition,
        conditions=ConditionsConfig.model_validate(conditions),
        objective=ObjectiveConfig(),
        channels=3,
        latent_shape_chw=(CHANNELS, height // STRIDE, width // STRIDE),
        timesteps=1000,
        seed=seed,
    )


@pytest.fixture(scope="session")
def color_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 scenes of 64 x 64 pixels in five shards, with color, segmentation and keypose."""
    return prepare_scenes(tmp_path_factory.mktemp("color") / "data")


@pytest.fixture(scope="session")
def wide_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes of 128 x 64 pixels with color."""
    source = {"kind": "synthetic", "count": 4, "width_pixels": 192, "height_pixels": 96}
    image = {"size_pixels": [128, 64], "format": "jpg"}
    return prepare_scenes(
        tmp_path_factory.mktemp("wide") / "data", source=source, image=image, annotators=[{"kind": "color"}]
    )


@pytest.fixture(scope="session")
def latents_data(color_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`color_data` with the latents of a small VAE as a layer."""
    folder = tmp_path_factory.mktemp("latents")
    shutil.copytree(color_data, folder / "data")
    add_layer(folder / "data", {"kind": "latents", "model": str(save_autoencoder(folder / "model"))})
    return folder / "data"


@pytest.fixture
def own_data(color_data: Path, tmp_path: Path) -> Path:
    """A copy of `color_data` that a test may damage."""
    shutil.copytree(color_data, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="session")
def tiny_base() -> "StableDiffusion":
    """The small base model with random weights, frozen, on the CPU."""
    from train.base.config import TinyDiffusionConfig
    from train.base.stable_diffusion import Running, StableDiffusion
    from train.base.tiny import tiny_parts

    return StableDiffusion(tiny_parts(TinyDiffusionConfig()), Running())


@pytest.fixture(scope="module")
def model(tiny_base: "StableDiffusion", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random base as `save_pretrained` leaves a model."""
    from tests.train.tiny_runs import save_parts

    return save_parts(tiny_base, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def loaded(model: Path) -> "Parts":
    from train.base.config import StableDiffusionConfig
    from train.base.stable_diffusion import load_parts

    return load_parts(StableDiffusionConfig(model=str(model)))


@pytest.fixture
def own_model(model: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(model, tmp_path / "model")
    return tmp_path / "model"
