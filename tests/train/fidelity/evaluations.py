"""Evaluations on the tiny base: what runs and interrupts them, and reads or replaces the pictures that they draw."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from pipeline.config import ExecutionConfig
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import ShardRecord, read_record, record_file
from pipeline.dataset.shards import commit_shard, read_sample
from pipeline.dataset.storage import Directory
from pipeline.environment import silent
from pipeline.execution.inline import Executor, InlineExecutor
from pipeline.execution.worker import Work
from stages.records import EncodedSample
from tests.offline import offline
from tests.train.conftest import prepare_scenes
from train.fidelity.evaluate import Evaluated, EvaluationJob, evaluate

SIDE_PIXELS = 128
INLINE = ExecutionConfig(device="cpu", threads_per_worker=1)


class StopsAfter(InlineExecutor):
    """Is interrupted when so many shards of one part of the work are committed: of drawing, which is the first, or of
    a variant's extraction.
    """

    def __init__(self, shards: int, part: int = 1) -> None:
        self._shards, self._parts_left = shards, part

    def run(
        self, plans: Sequence[ShardPlan], work: Work, progress: Callable[[int], None]
    ) -> Generator[ShardRecord, None, None]:
        self._parts_left -= 1
        if self._parts_left:
            yield from super().run(plans, work, progress)
            return
        yield from super().run(plans[: self._shards], work, progress)  # of what is in flight some more may get through
        raise KeyboardInterrupt


class Listener:
    """Keeps what an evaluation says; interrupts it when it says something that starts like this."""

    def __init__(self, stop_at: str = "") -> None:
        self.said: list[str] = []
        self._stop_at = stop_at

    def __call__(self, sentence: str) -> None:
        self.said.append(sentence)
        if self._stop_at and sentence.startswith(self._stop_at):
            raise KeyboardInterrupt


def run_job(
    job: EvaluationJob, listener: Callable[[str], None] = silent, executor: Executor | None = None
) -> Evaluated:
    return evaluate(job, offline(executor, say=listener))


def pictures_of(out: Path) -> Directory:
    return Directory(str(out / "pictures"))


def picture(out: Path, shard: str, position: int) -> dict[str, bytes]:
    """The members of a sample of OUT/pictures."""
    record = read_record(pictures_of(out), shard)
    return read_sample(pictures_of(out), record, record.samples[position])


def times(directory: Path) -> dict[Path, int]:
    """When each file below a directory was written, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}


def large_scenes(out: Path) -> Path:
    """Twelve scenes of 128 x 128 pixels, in three shards, as JPEG, with every condition that needs no network."""
    source = {"kind": "synthetic", "count": 12, "width_pixels": SIDE_PIXELS, "height_pixels": SIDE_PIXELS}
    image = {"size_pixels": SIDE_PIXELS, "format": "jpg"}
    annotators = [
        {"kind": "color"},
        {"kind": "canny"},
        {"kind": "segmentation"},
        {"kind": "keypose", "from": "annotations"},
    ]
    return prepare_scenes(out, source=source, image=image, annotators=annotators, samples_per_shard=4)


def tree(out: Path) -> dict[str, bytes]:
    """Every file below a directory but those that say which executor was asked for."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name != "dataset.json")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def plant(out: Path, sources: dict[str, int]) -> None:
    """Replace drawn pictures by real ones: of the sample itself (0), or of the one before (1)."""
    record = read_record(pictures_of(out), "0000000")
    members = [read_sample(pictures_of(out), record, entry) for entry in record.samples]
    samples = [
        EncodedSample(
            entry.key,
            tuple(
                sorted((own | {f"{name}.png": members[n - back]["real.png"] for name, back in sources.items()}).items())
            ),
            entry.width,
            entry.height,
        )
        for n, (entry, own) in enumerate(zip(record.samples, members, strict=True))
    ]
    pictures_of(out).remove(record_file(record.name))  # a shard that is committed is never replaced
    commit_shard(pictures_of(out), ShardPlan(0, record.start, record.stop), "planted", record.numerics, samples)
