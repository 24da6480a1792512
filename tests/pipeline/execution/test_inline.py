"""The inline executor: what neighbouring shards need is done at the same time, and an end is an end."""

import errno
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import pipeline.execution.worker
import stages.load
from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.shards import ShardRecord, commit_shard
from pipeline.dataset.storage import Directory
from pipeline.execution.inline import InlineExecutor
from pipeline.execution.origins import LoadedShard
from pipeline.execution.worker import Work
from pipeline.run import plan_dataset
from stages.annotators.color import ColorAnnotator
from stages.errors import WorkerError
from stages.load import Loading, load_sample
from stages.records import ConditionMembers, IndexRow, LoadedSample, Rejection, StoredSample
from stages.weights.store import WeightsStore

SHARDS, SAMPLES = 6, 3


class Seen(dict[str, threading.Event]):
    """What has begun, by a name such as "load 3"."""

    def __missing__(self, name: str) -> threading.Event:
        return self.setdefault(name, threading.Event())


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Note when a shard's loading, annotation and commit begin."""
    noted = Seen()
    load, annotate = Work.load, ColorAnnotator.__call__

    def noting_load(self: Work, plan: ShardPlan, stop: threading.Event | None = None) -> LoadedShard:
        noted[f"load {plan.name}"].set()
        return load(self, plan, stop)

    def noting_annotate(self: ColorAnnotator, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        for sample in samples:
            noted[f"annotate {int(sample.key) // SAMPLES:07d}"].set()
        return annotate(self, samples)

    monkeypatch.setattr(Work, "load", noting_load)
    monkeypatch.setattr(ColorAnnotator, "__call__", noting_annotate)
    return noted


def run(out: Path) -> list[ShardRecord]:
    tables = {
        "name": "neighbours",
        "samples_per_shard": SAMPLES,
        "source": {"kind": "synthetic", "count": SHARDS * SAMPLES, "width_pixels": 64, "height_pixels": 64},
        "image": {"size_pixels": 64},
        "annotators": [{"kind": "color"}],
    }
    config, weights, executor = check_config(tables, "test", PrepareConfig), WeightsStore(None), InlineExecutor()
    job = plan_dataset(config, Directory(str(out)), executor, weights, lambda sentence: None)
    (job.directory / "shards").make()
    work = Work(job.directory / "shards", job.origin, config.annotators, "f", executor.numerics(config), weights)
    return list(executor.run(job.plans, work, lambda samples: None))


def test_a_shard_is_committed_while_the_next_is_annotated_and_the_one_after_loaded(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit(shards: Directory, plan: ShardPlan, *rest: Any) -> ShardRecord:
        number = int(plan.name)
        assert number + 1 >= SHARDS or seen[f"annotate {number + 1:07d}"].wait(30)
        assert number + 2 >= SHARDS or seen[f"load {number + 2:07d}"].wait(30)
        return commit_shard(shards, plan, *rest)

    monkeypatch.setattr(pipeline.execution.worker, "commit_shard", commit)
    assert [record.name for record in run(tmp_path / "out")] == [f"{number:07d}" for number in range(SHARDS)]


def test_no_more_than_three_shards_are_in_memory(tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(shards: Directory, plan: ShardPlan, *rest: Any) -> ShardRecord:
        assert not seen[f"load {int(plan.name) + 3:07d}"].wait(0.1)
        return commit_shard(shards, plan, *rest)

    monkeypatch.setattr(pipeline.execution.worker, "commit_shard", commit)
    assert len(run(tmp_path / "out")) == SHARDS


def test_after_an_error_the_shards_before_it_are_committed_and_none_is_begun(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit(shards: Directory, plan: ShardPlan, *rest: Any) -> ShardRecord:
        if plan.name == "0000001":
            raise WorkerError("broken")
        return commit_shard(shards, plan, *rest)

    monkeypatch.setattr(pipeline.execution.worker, "commit_shard", commit)
    with pytest.raises(WorkerError, match="broken"):
        run(tmp_path / "out")
    assert (tmp_path / "out/shards/0000000.json").exists()
    assert not seen["load 0000004"].is_set()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("load", "shard"))]


def test_a_storage_that_takes_no_more_is_one_line(tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(shards: Directory, plan: ShardPlan, *rest: Any) -> ShardRecord:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pipeline.execution.worker, "commit_shard", commit)
    with pytest.raises(WorkerError, match=r"must be writable for shard 0000000, got .*No space left.*; make room"):
        run(tmp_path / "out")


def test_loading_ends_at_the_image_at_hand_when_the_run_does(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards have a thousand images: nobody who pressed Ctrl-C waits for all of them to be decoded."""
    loaded: list[str] = []
    ended = threading.Event()

    def load(row: IndexRow, loading: Loading) -> StoredSample | Rejection:
        if int(row.key) >= SAMPLES:
            loaded.append(row.key)
            assert ended.wait(30)
        return load_sample(row, loading)

    def commit(shards: Directory, plan: ShardPlan, *rest: Any) -> ShardRecord:
        raise WorkerError("broken")

    class Stop(threading.Event):
        def set(self) -> None:
            super().set()
            ended.set()

    monkeypatch.setattr(stages.load, "load_sample", load)
    monkeypatch.setattr(pipeline.execution.worker, "commit_shard", commit)
    monkeypatch.setattr("pipeline.execution.inline.threading", SimpleNamespace(Event=Stop))
    with pytest.raises(WorkerError, match="broken"):
        run(tmp_path / "out")
    assert len(loaded) <= 1
