"""Small data sets, each in the present format and in format 1; made once, never written to."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image

from pipeline.config import PrepareConfig
from pipeline.dataset.manifest import Totals, read_manifest, write_manifest
from pipeline.dataset.storage import Directory
from pipeline.layer import prepare_layer
from pipeline.retry import retry_rejected
from pipeline.upgrade.upgrade import upgrade
from stages.records import Reason
from stages.weights.store import WeightsStore
from tests.offline import offline
from tests.pipeline.conftest import Make, Run
from tests.pipeline.upgrade.format_1 import make_format_1

NO_WEIGHTS = WeightsStore(allow_network=False)


@dataclass(frozen=True, slots=True)
class Formats:
    """One data set, twice."""

    config: PrepareConfig
    former: Path
    present: Path

    def copy(self, to: Path) -> Path:
        """A copy of the one of format 1, to be upgraded."""
        return Path(shutil.copytree(self.former, to))


def bring_over(data: Path | str) -> list[str]:
    """Upgrade a data set; returns what was said."""
    said: list[str] = []
    assert upgrade(Directory(str(data)), said.append, lambda what, done, of: None)
    return said


def add_layer(config: PrepareConfig, data: Path) -> None:
    prepare_layer(config, Directory(str(data)), offline())


def in_both_formats(config: PrepareConfig, present: Path) -> Formats:
    former = present.with_name(f"{present.name}-1")
    shutil.copytree(present, former)
    make_format_1(former)
    return Formats(config, former, present)


@pytest.fixture(scope="session")
def alone(make_config: Make, run_inline: Run, tmp_path_factory: pytest.TempPathFactory) -> Formats:
    """Twelve scenes in three shards, without layers."""
    present = tmp_path_factory.mktemp("alone") / "data"
    config = make_config(annotators=[{"kind": "color"}, {"kind": "segmentation"}])
    run_inline(config, present)
    return in_both_formats(config, present)


@pytest.fixture(scope="session")
def layered(alone: Formats, make_config: Make, tmp_path_factory: pytest.TempPathFactory) -> Formats:
    """The same, with edges and with poses as layers."""
    present = Path(shutil.copytree(alone.present, tmp_path_factory.mktemp("layered") / "data"))
    for annotator in ({"kind": "canny"}, {"kind": "keypose", "from": "annotations"}):
        add_layer(make_config(annotators=[annotator]), present)
    return in_both_formats(alone.config, present)


@pytest.fixture(scope="session")
def unfinished(alone: Formats, tmp_path_factory: pytest.TempPathFactory) -> Formats:
    """The same, of a run that was killed after two of the three shards."""
    present = tmp_path_factory.mktemp("unfinished") / "data"
    left_out = shutil.ignore_patterns("README.md", "*.jsonl", "keys.npy", "0000002.*")
    shutil.copytree(alone.present, present, ignore=left_out)
    manifest = read_manifest(Directory(str(present)))
    totals = Totals(manifest.totals.rows, manifest.totals.shards)
    write_manifest(Directory(str(present)), replace(manifest, complete=False, totals=totals))
    return in_both_formats(alone.config, present)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen pictures with captions; of the second five none can be read, and of the rest one."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(14):
        picture = folder / f"{number:02}.png"
        if number in (5, 6, 7, 8, 9, 12):
            picture.write_bytes(b"no picture")
        else:
            Image.new("RGB", (80, 80), (number, 2 * number, 3 * number)).save(picture)
        picture.with_suffix(".txt").write_text(f"a picture, é {number}")
    return folder


@pytest.fixture(scope="session")
def rejecting(make_config: Make, photos: Path) -> PrepareConfig:
    return make_config(source={"kind": "folder", "root": str(photos)}, max_rejected_fraction=1.0)


@pytest.fixture(scope="session")
def rejected(rejecting: PrepareConfig, run_inline: Run, tmp_path_factory: pytest.TempPathFactory) -> Formats:
    """Three shards of pictures from a folder, one of them without a sample."""
    present = tmp_path_factory.mktemp("rejected") / "data"
    run_inline(rejecting, present)
    return in_both_formats(rejecting, present)


@pytest.fixture(scope="session")
def retried(rejected: Formats, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Formats:
    """The same, after a picture was repaired and its shard written anew under another name."""
    present = tmp_path_factory.mktemp("retried") / "data"
    shutil.copytree(rejected.present, present)
    Image.new("RGB", (80, 80), (12, 24, 36)).save(photos / "12.png")
    reasons = frozenset({Reason.NOT_AN_IMAGE})
    retry_rejected(rejected.config, Directory(str(present)), offline(), reasons)
    (photos / "12.png").write_bytes(b"no picture")
    assert (present / "shards/0000002.r1.tar").is_file()
    return in_both_formats(rejected.config, present)
