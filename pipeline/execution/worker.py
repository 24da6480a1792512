"""The work on one shard, the same whoever runs it: load on any CPU, annotate and commit where the networks are.

    ShardPlan ──Work.load──> LoadedShard ──ShardWorker──> tar + record ──> ShardRecord

    shard n      annotate ────────────┐ commit
    shard n + 1                       └ annotate ────────────┐ commit

`Work` is a few kilobytes of settings and travels to the workers; a `ShardWorker` holds the networks and stays.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from socket import gethostname

from pipeline.dataset.numerics import Numerics, settled
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import SampleEntry, ShardRecord
from pipeline.dataset.shards import Outcome, commit_shard, recommit_shard
from pipeline.dataset.storage import Directory
from pipeline.execution.origins import LoadedShard, Origin
from stages.annotate import Annotation, OnCores, OnGpu
from stages.annotators.protocol import AnnotatorConfig
from stages.errors import StorageError
from stages.records import StoredSample
from stages.weights.store import WeightsStore

THREADS = "annotate"
"""The beginning of the names of a worker's threads."""
SHARDS_ANNOTATED = 2
"""How many shards a worker is given at once: one is annotated while the other is committed."""


@dataclass(frozen=True, slots=True)
class Work:
    """What every shard of a data set or of a layer has in common; picklable."""

    home: Directory
    """The data set or the layer."""
    origin: Origin
    annotators: tuple[AnnotatorConfig, ...]
    fingerprint: str
    numerics: Numerics
    weights: WeightsStore

    def load(self, plan: ShardPlan, stop: threading.Event | None = None) -> LoadedShard:
        """Load the stored samples of a plan; setting `stop` may cut it short.

        Raises what its origin raises; StorageError if this machine does not see a file that the driver has written.
        """
        try:
            return self.origin.load(plan, stop or threading.Event())
        except FileNotFoundError as error:
            raise StorageError(
                f"{error.filename or self.home} must be there for shard {plan.name}, got none on {gethostname()}; if "
                "several machines work, give a directory that all of them share under this path, else restore it"
            ) from error


class ShardWorker:
    """Holds every network of the data set; ready when built.

    Called from two threads, it annotates one shard while the last images of the other are finished and committed; from
    more, the others wait their turn. Built, called and closed within `configured_process` for the work's numerics.
    """

    def __init__(self, work: Work, progress: Callable[[int], None]) -> None:
        """Load the networks, in the dtypes that the work's numerics name. `progress` is told of annotated samples.

        Raises ConfigError if this machine does not have such a dtype.
        """
        numerics = work.numerics
        threads = numerics.threads_per_worker
        self._work = work
        self._progress = progress
        annotators = tuple(settled(each, numerics).build(numerics.device, work.weights) for each in work.annotators)
        self._turn = threading.Lock()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=THREADS)
        self._annotation: Annotation = (
            OnCores(annotators, numerics.batch_size, work.origin.encode, self._pool, threads)
            if numerics.device == "cpu"
            else OnGpu(annotators, numerics.batch_size, work.origin.encode, self._pool)
        )

    def __call__(self, shard: LoadedShard) -> ShardRecord:
        """Annotate, encode and commit one shard: every outcome of loading is written or rejected."""
        stored = [outcome for outcome in shard.outcomes if isinstance(outcome, StoredSample)]
        with ExitStack() as turn:
            turn.enter_context(self._turn)
            annotated = iter(self._annotation(stored, self._progress, all_begun=turn.close))
        outcomes: list[Outcome] = [
            next(annotated) if isinstance(outcome, StoredSample) else outcome for outcome in shard.outcomes
        ]
        return self._commit(shard, outcomes)

    def _commit(self, shard: LoadedShard, outcomes: Sequence[Outcome]) -> ShardRecord:
        work = self._work
        if shard.replacement:
            return recommit_shard(work.home, shard.replacement, work.numerics, outcomes)
        made = [outcome for outcome in outcomes if not isinstance(outcome, SampleEntry)]
        assert len(made) == len(outcomes), "only a replacement keeps samples"
        return commit_shard(work.home, shard.plan, work.fingerprint, work.numerics, made, shard.base_sha256)

    def close(self) -> None:
        """Begin with no other image and end every thread; a shard that is being annotated ends with an error."""
        self._pool.shutdown(cancel_futures=True)
