"""Small data sets made by the product itself: the synthetic source and the inline executor are its own test doubles."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.manifest import Manifest
from pipeline.dataset.storage import Directory
from pipeline.run import prepare
from tests.offline import offline

Make: TypeAlias = Callable[..., PrepareConfig]
Run: TypeAlias = Callable[[PrepareConfig, Path], Manifest]


@pytest.fixture(scope="session")
def make_config() -> Make:
    """A configuration of twelve 64-pixel scenes, five to a shard, with color; keyword arguments replace its tables."""

    def make(**changes: object) -> PrepareConfig:
        tables: dict[str, object] = {
            "name": "scenes",
            "samples_per_shard": 5,
            "source": {"kind": "synthetic", "count": 12, "width_pixels": 96, "height_pixels": 80},
            "image": {"size_pixels": 64},
            "annotators": [{"kind": "color"}],
            "execution": {"device": "cpu", "threads_per_worker": 1},
        }
        return check_config(tables | changes, "test", PrepareConfig)

    return make


@pytest.fixture(scope="session")
def run_inline() -> Run:
    """Prepare a data set with the inline executor."""

    def run(config: PrepareConfig, out: Path) -> Manifest:
        return prepare(config, Directory(str(out)), offline()).manifest

    return run


@pytest.fixture
def data_set(make_config: Make, run_inline: Run, tmp_path: Path) -> Path:
    """A complete small data set."""
    run_inline(make_config(), tmp_path / "data")
    return tmp_path / "data"


def tree(directory: Path) -> dict[str, bytes]:
    """Every file below a directory: relative name to bytes."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }
