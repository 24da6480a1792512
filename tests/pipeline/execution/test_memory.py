"""Memory is flat: neither the driver nor a worker needs more for more shards."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from pipeline.bench.measure import fresh
from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import ShardRecord
from pipeline.dataset.storage import Directory
from pipeline.execution.inline import Executor, InlineExecutor
from pipeline.execution.ray import RayExecutor
from pipeline.execution.worker import Work
from pipeline.run import prepare
from tests.offline import offline

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux: peaks are read from /proc")

SAMPLES_PER_SHARD = 50
DRIVER = "driver"
WORKERS = {
    "ray::MapWorker(Map(_Annotate))": "annotating worker",
    "ray::Map(_Load)": "loading worker",
    "ray::IDLE": "loading worker",  # between two shards
}


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had (VmHWM of proc_pid_status(5)); 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


class Watched:
    """Runs an executor, and notes the peaks of this process and of Ray's workers below it after each shard."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.peaks: dict[str, int] = {}

    def numerics(self, config: PrepareConfig) -> Numerics:
        return self._executor.numerics(config)

    def run(
        self, plans: Sequence[ShardPlan], work: Work, progress: Callable[[int], None]
    ) -> Generator[ShardRecord, None, None]:
        with closing(self._executor.run(plans, work, progress)) as records:
            for record in records:
                self._look()
                yield record

    def close(self) -> None:
        self._executor.close()

    def _look(self) -> None:
        for child in psutil.Process().children(recursive=True):
            try:
                name = WORKERS.get(" ".join(child.cmdline()).strip())
            except psutil.Error:  # it has just ended
                continue
            if name:
                self.peaks[name] = max(self.peaks.get(name, 0), peak_bytes(child.pid))


def peaks_of_run(out: Path, scenes: int, kind: type[Executor]) -> dict[str, int]:
    """Prepare small scenes with color; return the peak memory of each kind of process."""
    tables = {
        "name": "memory",
        "samples_per_shard": SAMPLES_PER_SHARD,
        "source": {"kind": "synthetic", "count": scenes, "width_pixels": 64, "height_pixels": 64},
        "image": {"size_pixels": 64},
        "annotators": [{"kind": "color"}],
        "execution": {"device": "cpu", "threads_per_worker": 1, "workers": 1},
    }
    watched = Watched(kind())
    config = check_config(tables, "test", PrepareConfig)
    summary = prepare(config, Directory(str(out)), offline(watched))
    assert summary.manifest.totals.samples == scenes
    return watched.peaks | {DRIVER: peak_bytes(os.getpid())}


def compare(
    tmp_path: Path, few: int, many: int, kind: type[Executor], note: Callable[[str, object], None]
) -> dict[str, float]:
    """Measure two runs, each in a fresh process, and return the growth of each kind of process."""
    small, large = (fresh(peaks_of_run, tmp_path / str(scenes), scenes, kind) for scenes in (few, many))
    assert small.keys() == large.keys()
    for name in small:
        note(f"{name}, {few} and {many} scenes", f"{small[name] / 1e6:.0f} and {large[name] / 1e6:.0f} MB")
    return {name: large[name] / small[name] for name in small}


@pytest.mark.slow
def test_ten_times_the_scenes_need_no_more_memory_inline(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    growth = compare(tmp_path, 2_000, 20_000, InlineExecutor, record_property)
    assert growth.keys() == {DRIVER}
    assert growth[DRIVER] < 1.1


@pytest.mark.slow
@pytest.mark.ray
def test_ten_times_the_scenes_need_no_more_memory_on_ray_in_the_driver_or_a_worker(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    growth = compare(tmp_path, 2_000, 20_000, RayExecutor, record_property)
    assert growth.keys() == {DRIVER, *WORKERS.values()}
    assert max(growth.values()) < 1.1
