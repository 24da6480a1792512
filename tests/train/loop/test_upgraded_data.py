"""A data set of format 1, upgraded, trains to the bytes that it always did."""

import shutil
from pathlib import Path

import pytest

from pipeline.dataset.storage import Directory
from pipeline.verify.dataset import verify
from stages.weights.store import WeightsStore
from tests.pipeline.conftest import tree
from tests.pipeline.upgrade.conftest import bring_over
from tests.pipeline.upgrade.format_1 import make_format_1
from tests.train.conftest import add_layer, prepare_scenes
from tests.train.training_runs import adapter_bytes, losses, run_alone, small_job


@pytest.mark.slow
def test_training_on_an_upgraded_data_set_with_a_layer_gives_the_same_bytes(tmp_path: Path) -> None:
    data = prepare_scenes(tmp_path / "data")
    add_layer(data, {"kind": "canny"})
    upgraded = Path(shutil.copytree(data, tmp_path / "upgraded"))
    make_format_1(upgraded)
    bring_over(upgraded)
    assert verify(Directory(str(upgraded)), True, WeightsStore(allow_network=False), "cpu").problems == ()
    assert tree(upgraded) == tree(data)
    for where in (data, upgraded):
        run_alone(small_job(where, tmp_path / f"run-{where.name}", condition="canny"))
    runs = tmp_path / "run-data", tmp_path / "run-upgraded"
    assert losses(runs[0]) == losses(runs[1])
    assert adapter_bytes(runs[0]) == adapter_bytes(runs[1])
