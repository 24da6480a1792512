"""Where the time of a run goes: a shard after another prepared inline, and every 2 ms a look at where the run is.

    main thread       network ── network ── waiting ── writing ── network ...
    watching thread      │    │    │    │    │    │    │    │     looks at its stack, adds the time since the last look

Steady state: the first shard, which pays for warming up, does not count. Decoding, PNG encoding and loading run in
other threads beside the network; they count only as far as the run waits for them. The shares sum to 1.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

from pipeline.config import PrepareConfig, check_config
from pipeline.executor import InlineExecutor
from pipeline.index import write_index
from pipeline.origin import FromIndex
from pipeline.plan import plan_shards
from pipeline.shards import commit_shard
from pipeline.storage import Directory
from pipeline.work import Work
from stages.annotate import Annotation, annotate_in_halves
from stages.annotators.protocol import AnnotatorConfig
from stages.weights import WeightsStore

SHARDS = 3
LOOK_SECONDS = 0.002
PLACES: dict[CodeType, str] = {
    annotate_in_halves.__code__: "network",
    Annotation.__call__.__code__: "waiting for decoding or PNG encoding",
    commit_shard.__code__: "writing shards",
}
ELSEWHERE = "waiting for loading"


def time_shares(annotator: AnnotatorConfig, size_pixels: int, samples_per_shard: int) -> dict[str, float]:
    """Prepare three shards of drawn scenes with one annotator; return the shares of the wall time of all but the first.

    Builds the network and sets the thread counts of its process: run it in a fresh one.
    """
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
        next(records)
        with watched() as seconds:
            for _ in records:
                pass
    wall_seconds = sum(seconds.values())
    return {place: spent / wall_seconds for place, spent in seconds.items()}


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Watch the calling thread; the seconds that it spent in each place are complete when the context ends."""
    seconds = dict.fromkeys((*PLACES.values(), ELSEWHERE), 0.0)
    stop, thread = threading.Event(), threading.get_ident()

    def watch() -> None:
        last = time.perf_counter()
        while not stop.wait(LOOK_SECONDS):
            place, now = place_of(sys._current_frames()[thread]), time.perf_counter()
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
    """Name the innermost known place on a stack."""
    while frame is not None:
        if frame.f_code in PLACES:
            return PLACES[frame.f_code]
        frame = frame.f_back
    return ELSEWHERE
