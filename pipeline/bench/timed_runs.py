"""Runs of `prepare` that are timed: what the benches of the whole pipeline share.

    files ──a run, inline or on Ray──> seconds per image in steady state
          ├─the annotators alone─────> seconds per image
          └─PNG encoding alone───────> the least seconds per image of a run, unless the networks need more

A run is measured from the commit of its first shard, which pays for starting and warming up, to that of the last but
one, during which the executor still works on the last. With several workers these are as many shards, one of each.
Commits are timed by the records' files, whoever wrote them.
"""

import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.bench.inputs import SPLIT, UNTIMED_SHARDS, BenchInputs
from pipeline.bench.limit import Bottleneck, Limit
from pipeline.bench.measure import fresh
from pipeline.bench.networks import Timing, as_worker, least_seconds
from pipeline.bench.time_fractions import TimeShares, steady_shares
from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.ledger import make_folders
from pipeline.dataset.record import RECORD_SUFFIX, RECORDS
from pipeline.dataset.storage import Directory
from pipeline.environment import Environment
from pipeline.execution.inline import Executor, InlineExecutor
from pipeline.execution.resources import this_machine
from pipeline.execution.worker import Work
from pipeline.run import Job, plan_dataset
from stages.annotate import annotate_batch
from stages.annotators.protocol import Annotator
from stages.hardware.process import configured_process
from stages.members import encode_conditions, load_pixels
from stages.records import AnnotatedSample, LoadedSample, StoredSample
from stages.weights.store import WeightsStore

ENCODED_IMAGES, ENCODINGS = 4, 16
"""How many images' pictures are encoded how often: as the same code takes them all, a few will do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The least seconds that this machine needs for an image, and why."""

    conditions: Limit
    """Of the networks alone."""
    run: Limit
    """Of a run, which also stores the pictures."""


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """What a run has before it calls its networks."""

    annotators: tuple[Annotator, ...]
    samples: tuple[LoadedSample, ...]
    threads: int
    batch_size: int


def find_limits(inputs: BenchInputs, timing: Timing) -> Limits:
    """Measure what the networks' FLOPs and what PNG encoding take at least; a run is bound by the slower of the two."""
    networks = [as_worker(each.kind, each, timing.device) for each in inputs.annotators if each.models]
    products = Limit(sum(least_seconds(networks, timing).values()), Bottleneck.MATRIX_PRODUCTS)
    encoding = Limit(fresh(time_encoding, inputs), Bottleneck.PNG_ENCODING)
    return Limits(products, max(products, encoding, key=lambda limit: limit.seconds_per_image))


def time_encoding(inputs: BenchInputs) -> float:
    """Seconds per image of encoding its pictures on all cores of this machine, with nothing else going on."""
    with _prepared(inputs, shards=1) as prepared:
        outcomes = annotate_batch(prepared.annotators, prepared.samples[:ENCODED_IMAGES])
    pictures = [outcome for outcome in outcomes if isinstance(outcome, AnnotatedSample)]
    with ThreadPoolExecutor(int(this_machine().cpus)) as cores:
        list(cores.map(encode_conditions, pictures))
        started = time.perf_counter()
        list(cores.map(encode_conditions, pictures * ENCODINGS))
        return (time.perf_counter() - started) / (len(pictures) * ENCODINGS)


def time_conditions(inputs: BenchInputs) -> float:
    """Seconds per image of the annotators, with nothing read, encoded or written meanwhile.

    On a CPU each core has a batch of its own, as in a run.
    """
    with _prepared(inputs, inputs.shards + UNTIMED_SHARDS) as prepared:
        samples, size = prepared.samples, prepared.batch_size
        batches = [samples[start : start + size] for start in range(0, len(samples), size)]
        with ThreadPoolExecutor(prepared.threads if inputs.device == "cpu" else 1) as cores:
            annotated = cores.map(lambda batch: annotate_batch(prepared.annotators, batch), batches)
            return steady_seconds(itertools.chain.from_iterable(annotated), inputs)


@contextmanager
def _prepared(inputs: BenchInputs, shards: int) -> Iterator[PreparedRun]:
    """Load and decode the first shards, and build the annotators in this process as a run does."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as out:
        job, work = plan_work(inputs, Path(out), InlineExecutor())
        outcomes = [outcome for plan in job.plans[:shards] for outcome in work.load(plan).outcomes]
    numerics = work.numerics
    with configured_process(numerics.device, numerics.threads_per_worker):
        yield PreparedRun(
            annotators=tuple(each.build(numerics.device, work.weights) for each in work.annotators),
            samples=tuple(load_pixels(outcome) for outcome in outcomes if isinstance(outcome, StoredSample)),
            threads=numerics.threads_per_worker,
            batch_size=numerics.batch_size,
        )


def steady_seconds(images: Iterator[object], inputs: BenchInputs) -> float:
    """Seconds per image of the timed ones, which follow on a shard's worth of others."""
    for _ in itertools.islice(images, inputs.samples_per_shard):
        pass
    started = time.perf_counter()
    for _ in itertools.islice(images, inputs.images):
        pass
    return (time.perf_counter() - started) / inputs.images


def time_inline(inputs: BenchInputs) -> float:
    """Seconds per image of a run in one process."""
    return time_run(inputs, InlineExecutor())


def time_on_ray(inputs: BenchInputs) -> float:
    """Seconds per image of a run on a local Ray instance; starting it is not counted."""
    from pipeline.execution.ray import RayExecutor

    return time_run(inputs, RayExecutor(), inputs.workers)


def time_run(inputs: BenchInputs, executor: Executor, workers: int = 1) -> float:
    """Prepare the inputs of so many workers; return the mean seconds per image between the timed commits."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as out:
        with closing(executor):
            job, work = plan_work(inputs, Path(out), executor, workers)
            for _ in executor.run(job.plans, work, lambda samples: None):
                pass
        commits = sorted(path.stat().st_mtime for path in Path(str(work.home / RECORDS)).glob(f"*{RECORD_SUFFIX}"))
    return steady_commits(commits, workers) / (workers * inputs.images)


def steady_commits(commits: Sequence[float], workers: int) -> float:
    """Return the seconds between the first and the last but one of each worker's commits, which are in order."""
    return commits[-workers - 1] - commits[workers - 1]


def time_shares(inputs: BenchInputs) -> TimeShares:
    """Prepare the inputs inline; return the shares of the wall time between the timed commits."""
    executor = InlineExecutor()
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as out:
        job, work = plan_work(inputs, Path(out), executor)
        with closing(executor.run(job.plans, work, lambda samples: None)) as records:
            return steady_shares(records, inputs.shards, inputs.device)


def plan_work(inputs: BenchInputs, out: Path, executor: Executor, workers: int = 1) -> tuple[Job, Work]:
    """Plan the run that `condset prepare` would be told to make, of the inputs of so many workers."""
    tables = {
        "name": "bench",
        "limit": workers * inputs.images_with_untimed,
        "samples_per_shard": inputs.samples_per_shard,
        "source": {"kind": "coco_stuff", "root": str(inputs.root), "split": SPLIT, "keypoints": False},
        "image": {"size_pixels": inputs.size_pixels},
        "annotators": list(inputs.annotators),
        "execution": {"device": inputs.device},
    }
    config, store = check_config(tables, "bench", PrepareConfig), WeightsStore(allow_network=False)
    directory = Directory(str(out))
    job = plan_dataset(config, directory, Environment(executor, store))
    make_folders(directory)
    work = Work(directory, job.origin, config.annotators, "bench", executor.numerics(config), store)
    return job, work
