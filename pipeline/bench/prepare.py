"""`condset bench prepare`: sketch, color and segmentation end to end, beside the loop that people write.

    plain loop, conditions alone, inline, Ray, plain, ...    each in a fresh process; the medians are compared

The invariant: every contender reads the same files and makes the same members of them.
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pipeline.bench.measure import Say, Table, fresh, rows_of
from pipeline.bench.networks import Contender, Timing, build_annotator, least_seconds
from pipeline.bench.plain_prepare import prepare_plainly
from pipeline.bench.sketch import random_pidinet
from pipeline.bench.timed_runs import (
    SAMPLES_PER_SHARD,
    SPLIT,
    Inputs,
    steady_seconds,
    time_conditions,
    time_inline,
    time_on_ray,
    time_shares,
    write_inputs,
)
from stages.annotators.sketch import NETWORK, SketchConfig
from stages.precision import resolve_dtype
from stages.weights import WeightsStore

PLAIN, ALONE = "plain loop: controlnet_aux, PIL, webdataset", "condset, the conditions alone"
INLINE, ON_RAY = "condset prepare, inline", "condset prepare, Ray"


def bench_prepare(timing: Timing, weights_dir: Path | None, say: Say) -> Table:
    """Time the contenders; the images of a round are rounded up to whole shards."""
    import torch

    found = WeightsStore(weights_dir, allow_network=False).find(NETWORK)
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as name:
        scratch = Path(name)
        weights = found or fresh(random_pidinet, scratch / "random_pidinet.pth")
        annotators = ({"kind": "sketch", "weights": str(weights)}, {"kind": "color"}, {"kind": "segmentation"})
        shards = math.ceil(timing.images / SAMPLES_PER_SHARD)
        inputs = Inputs(scratch / "inputs", timing.size_pixels, shards, annotators)
        say("drawing the images")
        fresh(write_inputs, inputs)
        sketch = partial(build_annotator, SketchConfig(weights=str(weights)))
        network = Contender(NETWORK, sketch, resolve_dtype("auto", "cpu"))
        least = least_seconds([network], timing)[NETWORK]
        contenders: dict[str, Callable[[], Sequence[float]]] = {
            PLAIN: partial(fresh, time_plain_loop, inputs, weights),
            ALONE: partial(fresh, time_conditions, inputs),
            INLINE: partial(fresh, time_inline, inputs),
            ON_RAY: partial(fresh, time_on_ray, inputs),
        }
        rows = rows_of(contenders, timing.rounds, say, dict.fromkeys(contenders, least))
        say("where the time of a run goes")
        shares = fresh(time_shares, inputs)
    return Table(
        title=f"sketch, color and segmentation at {timing.size_pixels}x{timing.size_pixels}, "
        f"{torch.get_num_threads()} threads, {'the published' if found else 'random'} weights, "
        f"{timing.rounds} rounds of {inputs.images} images",
        rows=rows,
        time_shares=shares,
    )


def time_plain_loop(inputs: Inputs, weights: Path) -> list[float]:
    """Seconds per image of the loop that people write, after as many images as a shard has."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as out:
        keys = prepare_plainly(inputs.root, SPLIT, Path(out), inputs.size_pixels, weights, SAMPLES_PER_SHARD)
        seconds = steady_seconds(keys, inputs.images)
        for _ in keys:  # to the end, so that the last tar is closed
            pass
    return [seconds]
