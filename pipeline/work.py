"""The work on one shard, the same whoever runs it: load on any CPU, annotate and commit where the networks are.

    ShardPlan ──Work.load──> LoadedShard ──ShardWorker──> tar + record ──> ShardRecord

`Work` is a few kilobytes of settings and travels to the workers; a `ShardWorker` holds the networks and stays.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.config import PrepareConfig
from pipeline.index import read_rows
from pipeline.numerics import Numerics
from pipeline.plan import ShardPlan
from pipeline.shards import ShardRecord, commit_shard
from pipeline.storage import Directory
from stages.annotate import Annotation
from stages.errors import TooManyRejected
from stages.load import Loading, load_sample
from stages.records import OUTAGE_REASONS, EncodedSample, Rejection, StoredSample
from stages.weights import WeightsStore

Outcomes = list[StoredSample | Rejection]


@dataclass(frozen=True, slots=True)
class LoadedShard:
    """A shard between its two operators: encoded images and rejections, one for each row."""

    plan: ShardPlan
    outcomes: tuple[StoredSample | Rejection, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What every shard of a data set has in common; picklable."""

    directory: Directory
    config: PrepareConfig
    fingerprint: str
    numerics: Numerics
    weights: WeightsStore

    @property
    def shards(self) -> Directory:
        return self.directory / "shards"

    def load(self, plan: ShardPlan) -> LoadedShard:
        """Fetch, decode and crop the rows of a plan.

        Raises TooManyRejected, before anything of the shard is committed, if what an outage gives took more than
        `max_rejected_fraction` of the rows.
        """
        source = self.config.source
        loading = Loading(source.base_uri, source.label_offset, self.config.image, self.config.seed)
        rows = read_rows(self.directory, plan.start, plan.stop)
        outcomes = tuple(load_sample(row, loading) for row in rows)
        lost = [each for each in outcomes if isinstance(each, Rejection) and each.reason in OUTAGE_REASONS]
        if len(lost) > self.config.max_rejected_fraction * plan.rows:
            raise TooManyRejected(
                f"shard {plan.name} must lose at most {self.config.max_rejected_fraction:.0%} of its {plan.rows} rows, "
                f"got {len(lost)} lost, first {lost[0].key}: {lost[0].reason} ({lost[0].detail}); "
                "mend the source, or raise max_rejected_fraction, and run again"
            )
        return LoadedShard(plan, outcomes)


class ShardWorker:
    """Holds every network of the data set; ready when built, used from one thread."""

    def __init__(self, work: Work, progress: Callable[[int], None]) -> None:
        """Load the networks and fix the thread counts. `progress` is told how many samples were annotated."""
        import cv2
        import torch

        threads = work.numerics.threads_per_worker
        torch.set_num_threads(threads)
        cv2.setNumThreads(1)  # its calls run inside our own threads
        self._work = work
        self._progress = progress
        self._annotation = Annotation(
            annotators=tuple(
                annotator.build(work.numerics.device, work.weights) for annotator in work.config.annotators
            ),
            batch_size=work.numerics.batch_size,
            source=f"{work.config.source.kind}/{work.config.source.split}",
            image_format=work.config.image.format,
            threads=ThreadPoolExecutor(threads, thread_name_prefix="encode"),
        )

    def __call__(self, shard: LoadedShard) -> ShardRecord:
        """Annotate, encode and commit one shard."""
        stored = [outcome for outcome in shard.outcomes if isinstance(outcome, StoredSample)]
        annotated = iter(self._annotation(stored, self._progress))
        outcomes: list[EncodedSample | Rejection] = [
            next(annotated) if isinstance(outcome, StoredSample) else outcome for outcome in shard.outcomes
        ]
        work = self._work
        return commit_shard(work.shards, shard.plan, work.fingerprint, work.numerics, outcomes)
