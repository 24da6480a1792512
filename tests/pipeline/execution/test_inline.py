"""The inline executor: what neighbouring shards need is done at the same time, and an end is an end."""

import errno
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.ledger import committed_names, make_folders
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import ShardRecord
from pipeline.dataset.storage import Directory
from pipeline.execution.origins import LoadedShard, Origin
from pipeline.execution.worker import Work
from pipeline.run import plan_dataset
from stages.errors import StorageError, WorkerError
from stages.records import AnnotatedSample, EncodedSample
from tests.offline import offline

SAMPLES = 3
NAMES = [f"{number:07d}" for number in range(6)]
"""Of the shards."""
OUT = Directory("watched://bucket/out")
PATIENCE_SECONDS = 60


class Seen(dict[str, threading.Event]):
    """What has begun, by a name such as "load 0000003"."""

    def __missing__(self, name: str) -> threading.Event:
        return self.setdefault(name, threading.Event())


@dataclass(frozen=True)
class NotingOrigin:
    """Notes when a shard's loading begins, and when the first of its samples has been annotated."""

    origin: Origin
    seen: Seen

    def load(self, plan: ShardPlan, stop: threading.Event) -> LoadedShard:
        self.seen[f"load {plan.name}"].set()
        return self.origin.load(plan, stop)

    def encode(self, sample: AnnotatedSample) -> EncodedSample:
        self.seen[f"annotate {NAMES[int(sample.stored.row.key) // SAMPLES]}"].set()
        return self.origin.encode(sample)


class EndlessOrigin(NotingOrigin):
    """Loads the first shard; the others take until nobody wants them any more."""

    def load(self, plan: ShardPlan, stop: threading.Event) -> LoadedShard:
        self.seen[f"load {plan.name}"].set()
        if plan.name != NAMES[0] and stop.wait(PATIENCE_SECONDS):
            self.seen[f"stop {plan.name}"].set()
        return self.origin.load(plan, stop)


class WatchedFileSystem(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store that tells of every tar that is about to be written, whose listener may wait or fail."""

    protocol = "watched"
    about_to_write: Callable[[str], None]

    def _open(self, path: str, mode: str = "rb", **options: object) -> object:
        if "r" not in mode and path.endswith(".tar"):
            type(self).about_to_write(PurePosixPath(path).stem)
        return super()._open(path, mode, **options)


@pytest.fixture(autouse=True)
def storage() -> Iterator[type[WatchedFileSystem]]:
    fsspec.register_implementation("watched", WatchedFileSystem, clobber=True)
    yield WatchedFileSystem
    fsspec.filesystem("watched").rm("watched://bucket", recursive=True)


def run(seen: Seen, noting: type[NotingOrigin] = NotingOrigin) -> list[ShardRecord]:
    tables = {
        "name": "neighbours",
        "samples_per_shard": SAMPLES,
        "source": {"kind": "synthetic", "count": len(NAMES) * SAMPLES, "width_pixels": 64, "height_pixels": 64},
        "image": {"size_pixels": 64},
        "annotators": [{"kind": "color"}],
    }
    config, environment = check_config(tables, "test", PrepareConfig), offline()
    executor = environment.executor
    job = plan_dataset(config, OUT, environment)
    make_folders(OUT)
    origin = noting(job.origin, seen)
    work = Work(OUT, origin, config.annotators, "f", executor.numerics(config), environment.weights)
    return list(executor.run(job.plans, work, lambda samples: None))


def test_a_shard_is_committed_while_the_next_is_annotated_and_the_one_after_loaded(
    storage: type[WatchedFileSystem],
) -> None:
    seen = Seen()

    def wait_for_neighbours(name: str) -> None:
        behind = NAMES[NAMES.index(name) + 1 :]
        assert not behind[:1] or seen[f"annotate {behind[0]}"].wait(PATIENCE_SECONDS)
        assert not behind[1:] or seen[f"load {behind[1]}"].wait(PATIENCE_SECONDS)

    storage.about_to_write = wait_for_neighbours
    assert [record.name for record in run(seen)] == NAMES


def test_no_more_than_three_shards_are_in_memory(storage: type[WatchedFileSystem]) -> None:
    seen = Seen()

    def look_ahead(name: str) -> None:
        assert not [each for each in NAMES[NAMES.index(name) + 3 :] if seen[f"load {each}"].wait(0.02)]

    storage.about_to_write = look_ahead
    assert len(run(seen)) == len(NAMES)


def test_after_an_error_the_shards_before_it_are_committed_and_none_is_begun(
    storage: type[WatchedFileSystem],
) -> None:
    def fail_at_the_second(name: str) -> None:
        if name == NAMES[1]:
            raise WorkerError("broken")

    storage.about_to_write, seen = fail_at_the_second, Seen()
    with pytest.raises(WorkerError, match="broken"):
        run(seen)
    assert committed_names(OUT)[0] == NAMES[0]
    assert not seen[f"load {NAMES[4]}"].is_set()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("load", "shard"))]


def test_a_storage_that_takes_no_more_is_one_line(storage: type[WatchedFileSystem]) -> None:
    def fail(name: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    storage.about_to_write = fail
    with pytest.raises(StorageError, match=r"0000000\.tar must be writable, got No space left on device; make room"):
        run(Seen())


def test_loading_ends_when_the_run_does(storage: type[WatchedFileSystem]) -> None:
    """Shards have a thousand images: nobody who pressed Ctrl-C waits for all of them to be decoded."""

    seen = Seen()

    def fail_while_the_next_is_loaded(name: str) -> None:
        assert seen[f"load {NAMES[1]}"].wait(PATIENCE_SECONDS)
        raise WorkerError("broken")

    storage.about_to_write = fail_while_the_next_is_loaded
    with pytest.raises(WorkerError, match="broken"):
        run(seen, EndlessOrigin)
    assert seen[f"stop {NAMES[1]}"].is_set()
