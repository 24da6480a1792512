"""Where the time of a run goes: a shard after another prepared inline, and every 2 ms a look at where its cores are.

    core 1            decoding ── sketch ── depth ── PNG encoding │ decoding ── sketch ...
    core 2            decoding ── sketch ── depth ── PNG encoding │ idle, for whatever the main thread does
    watching thread      │    │    │    │    │    │    │    │    looks at their stacks, adds the time since it last did

Steady state: the first shard, which pays for warming up, does not count. Loading runs beside the cores' work; it counts
only as far as they wait for it. The shares sum to 1.
"""

import itertools
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

from pipeline.bench.measure import a_multiple
from pipeline.config import PrepareConfig, check_config
from pipeline.executor import InlineExecutor
from pipeline.index import write_index
from pipeline.origin import FromIndex
from pipeline.plan import plan_shards
from pipeline.shards import ShardRecord, commit_shard
from pipeline.storage import Directory
from pipeline.work import THREADS, Work
from stages.annotate import OnCores, annotate_in_halves
from stages.annotators.protocol import AnnotatorConfig
from stages.members import encode_sample, load_pixels
from stages.weights import WeightsStore

SHARDS = 3
LOOK_SECONDS = 0.002
PLACES: dict[CodeType, str] = {
    load_pixels.__code__: "decoding",
    encode_sample.__code__: "PNG encoding",
    commit_shard.__code__: "writing shards",
    OnCores.__call__.__code__: "the last image of a shard",
}
"""Besides the annotators. The last two are those of the main thread, for which a core may be idle."""
ELSEWHERE = "waiting for loading"


def time_shares(annotator: AnnotatorConfig, size_pixels: int, samples_per_shard: int) -> dict[str, float]:
    """Prepare three shards of drawn scenes with one annotator; return the shares of the wall time of all but the first.

    A shard has `samples_per_shard` images, rounded up such that every core has as many. Builds the network and sets the
    thread counts of its process: run it in a fresh one.
    """
    import torch

    samples_per_shard = a_multiple(samples_per_shard, torch.get_num_threads())
    rows = SHARDS * samples_per_shard
    size = {"width_pixels": size_pixels, "height_pixels": size_pixels}
    tables = {
        "name": "bench",
        "samples_per_shard": samples_per_shard,
        "source": {"kind": "synthetic", "count": rows, **size},
        "image": {"size_pixels": size_pixels},
        "annotators": [{"kind": annotator.kind}],
    }
    config, executor = check_config(tables, "bench", PrepareConfig), InlineExecutor()
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as scratch:
        directory = Directory(scratch)
        (directory / "shards").make()
        write_index(directory, config.source, 0)
        work = Work(
            shards=directory / "shards",
            origin=FromIndex(directory, config),
            annotators=(annotator,),
            fingerprint="bench",
            numerics=executor.numerics(config),
            weights=WeightsStore(allow_network=False),
        )
        records = executor.run(plan_shards(rows, samples_per_shard), work, lambda samples: None)
        return steady_shares(records, SHARDS - 1)


def steady_shares(records: Iterator[ShardRecord], shards: int) -> dict[str, float]:
    """Run to the end; return the shares of the cores' time in so many shards after the first."""
    next(records)
    with watched() as seconds:
        for _ in itertools.islice(records, shards):
            pass
    for _ in records:  # what is left, such as a shard that was loaded meanwhile, is not watched
        pass
    all_seconds = sum(seconds.values())
    return {place: spent / all_seconds for place, spent in seconds.items()}


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Watch the worker of the calling thread; the seconds of its cores in each place are complete in the end."""
    seconds = defaultdict[str, float](float, dict.fromkeys((*PLACES.values(), ELSEWHERE), 0.0))
    stop, main = threading.Event(), threading.get_ident()

    def watch() -> None:
        last = time.perf_counter()
        while not stop.wait(LOOK_SECONDS):
            frames, now = sys._current_frames(), time.perf_counter()
            cores = [each.ident for each in threading.enumerate() if each.name.startswith(THREADS)]
            for core in cores:
                place = place_of(frames.get(core or 0)) or place_of(frames.get(main)) or ELSEWHERE
                seconds[place] += now - last
            last = now

    watcher = threading.Thread(target=watch, name="watch", daemon=True)
    watcher.start()
    try:
        yield seconds
    finally:
        stop.set()
        watcher.join()


def place_of(frame: FrameType | None) -> str:
    """Name the innermost known place on a stack, such as "sketch" for its annotator; empty if there is none."""
    while frame is not None:
        if frame.f_code is annotate_in_halves.__code__:
            return type(frame.f_locals["annotator"]).__name__.removesuffix("Annotator").lower()
        if frame.f_code in PLACES:
            return PLACES[frame.f_code]
        frame = frame.f_back
    return ""
