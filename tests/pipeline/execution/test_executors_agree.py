"""Invariant 2: the same inputs under the same numerics give the same bytes, whatever runs them."""

from pathlib import Path

import pytest

from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.storage import Directory
from pipeline.execution.inline import Executor, InlineExecutor
from pipeline.execution.ray import RayExecutor
from pipeline.run import prepare
from stages.errors import ConfigError, SourceError
from tests.offline import offline
from tests.pipeline.conftest import Make, tree


def run(config: PrepareConfig, out: Path, executor: Executor, weights: Path | None = None) -> dict[str, bytes]:
    prepare(config, Directory(str(out)), offline(executor, weights))
    # dataset.json tells how many workers were asked for; every other file may not.
    return {name: content for name, content in tree(out).items() if name != "dataset.json"}


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_scenes_come_out_the_same_inline_and_on_ray_which_prints_nothing(
    make_config: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    inline = run(make_config(), tmp_path / "inline", InlineExecutor())
    assert run(make_config(), tmp_path / "ray", RayExecutor()) == inline
    assert read_manifest(Directory(str(tmp_path / "ray"))).complete
    printed = capfd.readouterr()
    assert printed.out == ""
    assert [line for line in printed.err.splitlines() if not line.startswith("shards ")] == []  # the progress is ours


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_what_the_cluster_does_not_have_is_an_error_at_once(make_config: Make, tmp_path: Path) -> None:
    config = make_config(execution={"device": "cpu", "workers": 500, "cpus_per_worker": 1})
    with pytest.raises(ConfigError, match=r"500 workers with 1 CPUs each and 0.5 for loading must find 500.5 CPUs"):
        run(config, tmp_path, RayExecutor())


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_workers_error_arrives_as_itself(make_config: Make, tmp_path: Path) -> None:
    (tmp_path / "coco/annotations").mkdir(parents=True)
    (tmp_path / "coco/val2017").mkdir()
    (tmp_path / "coco/val2017/1.jpg").symlink_to("1.jpg")  # a loop: reading it fails, and not because it is missing
    (tmp_path / "coco/annotations/captions_val2017.json").write_text(
        '{"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"id": 1, "image_id": 1, "caption": "x"}]}'
    )
    source = {"kind": "coco", "root": str(tmp_path / "coco"), "split": "val2017", "keypoints": False}
    with pytest.raises(SourceError, match=r"1\.jpg must be readable, got .*; fix the storage and run again"):
        run(make_config(source=source), tmp_path / "data", RayExecutor())


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.weights
@pytest.mark.parametrize("samples_per_shard", [5, 16])
@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_the_real_photographs_come_out_the_same_with_one_worker_two_and_none(
    shared: Path, split: str, samples_per_shard: int, tmp_path: Path
) -> None:
    def config(workers: int) -> PrepareConfig:
        tables = {
            "name": "photographs",
            "samples_per_shard": samples_per_shard,
            "source": {"kind": "coco", "root": str(shared / "data/coco17"), "split": split},
            "image": {"size_pixels": 256},
            "annotators": [{"kind": "sketch"}, {"kind": "color"}],
            "execution": {"device": "cpu", "threads_per_worker": 1, "workers": workers},
        }
        return check_config(tables, "test", PrepareConfig)

    weights = shared / "weights"
    inline = run(config(1), tmp_path / "inline", InlineExecutor(), weights)
    images = {"train2017": 26, "val2017": 53}[split]
    totals = read_manifest(Directory(str(tmp_path / "inline"))).totals
    assert (totals.rows, totals.samples, totals.rejected) == (images, images, 0)
    assert sum(name.endswith(".tar") for name in inline) == -(-images // samples_per_shard)
    assert run(config(1), tmp_path / "one", RayExecutor(), weights) == inline
    assert run(config(2), tmp_path / "two", RayExecutor(), weights) == inline
