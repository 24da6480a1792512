"""Killed at any instant, what makes a data set of another or takes samples out of one is finished by another run."""

from pathlib import Path

import pytest

from pipeline.dataset.reader import open_dataset
from pipeline.dataset.storage import Directory
from pipeline.derive.compact import plan_compaction
from pipeline.derive.remove import remove
from pipeline.derive.run import derive
from pipeline.environment import silent
from pipeline.verify.dataset import verify
from stages.weights.store import WeightsStore
from tests.offline import offline
from tests.pipeline.conftest import Make, Run, tree
from tests.pipeline.dataset.test_reader import add_layer
from tests.pipeline.killed_everywhere import killed_everywhere

REMOVE = """
from pipeline.dataset.storage import Directory
from pipeline.derive.remove import remove

def work(data, *keys):
    remove(Directory(data), frozenset(keys), lambda said: None)
"""
COMPACT = """
from pipeline.dataset.storage import Directory
from pipeline.derive.compact import plan_compaction
from pipeline.derive.run import derive
from tests.offline import offline

def work(data, layered):
    derive(plan_compaction(Directory(layered), Directory(data + "/out"), None), offline())
"""
KEYS = ("000000001", "000000006", "000000010")
"""One of each shard."""


@pytest.fixture(scope="module")
def layered(make_config: Make, run_inline: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes in three shards with color, and a layer."""
    data = tmp_path_factory.mktemp("layered") / "data"
    run_inline(make_config(), data)
    add_layer(data, {"kind": "canny"}, make_config)
    return data


def samples(data: Path) -> dict[str, dict[str, bytes]]:
    return {sample.key: dict(sample.files) for sample in open_dataset(data)}


@pytest.mark.slow
def test_killed_before_any_step_a_takedown_is_finished_by_another(layered: Path, tmp_path: Path) -> None:
    (tmp_path / "killed").mkdir()
    *killed, through = killed_everywhere(layered, tmp_path / "killed", REMOVE, *KEYS)
    left = {key: files for key, files in samples(layered).items() if key not in KEYS}
    assert samples(through) == left
    assert len(killed) > 20
    for data in killed:
        remove(Directory(str(data)), frozenset(KEYS), silent)
        assert samples(data) == left, data
        assert verify(Directory(str(data)), False, WeightsStore(allow_network=False), "cpu").problems == (), data
        assert not [name for name in tree(data) if name.endswith(".partial")], data
        assert len(list((data / "shards").iterdir())) == 3, data


@pytest.mark.slow
def test_killed_before_any_step_a_compaction_is_finished_by_another(layered: Path, tmp_path: Path) -> None:
    for folder in ("former", "killed"):
        (tmp_path / folder).mkdir()
    *killed, through = killed_everywhere(tmp_path / "former", tmp_path / "killed", COMPACT, layered)
    assert len(killed) > 20
    for data in killed:
        derive(plan_compaction(Directory(str(layered)), Directory(str(data / "out")), None), offline())
        assert tree(data / "out") == tree(through / "out"), data
