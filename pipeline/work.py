"""The work on one shard, the same whoever runs it: load on any CPU, annotate and commit where the networks are.

    ShardPlan ──Work.load──> LoadedShard ──ShardWorker──> tar + record ──> ShardRecord

`Work` is a few kilobytes of settings and travels to the workers; a `ShardWorker` holds the networks and stays.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.numerics import Numerics
from pipeline.origin import LoadedShard, Origin
from pipeline.plan import ShardPlan
from pipeline.shards import ShardRecord, commit_shard
from pipeline.storage import Directory
from stages.annotate import Annotation
from stages.annotators.protocol import AnnotatorConfig
from stages.records import EncodedSample, Rejection, StoredSample
from stages.weights import WeightsStore


@dataclass(frozen=True, slots=True)
class Work:
    """What every shard of a data set or of a layer has in common; picklable."""

    shards: Directory
    origin: Origin
    annotators: tuple[AnnotatorConfig, ...]
    fingerprint: str
    numerics: Numerics
    weights: WeightsStore

    def load(self, plan: ShardPlan) -> LoadedShard:
        """Load the stored samples of a plan; raises what its origin raises."""
        return self.origin.load(plan)


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
            annotators=tuple(each.build(work.numerics.device, work.weights) for each in work.annotators),
            batch_size=work.numerics.batch_size,
            encode=work.origin.encode,
            threads=ThreadPoolExecutor(threads, thread_name_prefix="encode"),
        )

    def __call__(self, shard: LoadedShard) -> ShardRecord:
        """Annotate, encode and commit one shard: every outcome of loading is written or rejected."""
        stored = [outcome for outcome in shard.outcomes if isinstance(outcome, StoredSample)]
        annotated = iter(self._annotation(stored, self._progress))
        outcomes: list[EncodedSample | Rejection] = [
            next(annotated) if isinstance(outcome, StoredSample) else outcome for outcome in shard.outcomes
        ]
        work = self._work
        return commit_shard(work.shards, shard.plan, work.fingerprint, work.numerics, outcomes, shard.base_sha256)
