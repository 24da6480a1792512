"""`condset bench prepare --every-condition`: what one pass over all six costs beyond its networks.

    sketch, depth and keypose on decoded images, alone     networks' seconds per image
    all six conditions, from the files to the shards       seconds per image of the run

The invariant: both see the same images, with an image on each core, and the networks are the same.
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline.bench.depth import random_midas
from pipeline.bench.keypose import random_rtmo
from pipeline.bench.measure import Say, Table, fresh, rows_of
from pipeline.bench.networks import Timing
from pipeline.bench.sketch import random_pidinet
from pipeline.bench.timed_runs import (
    SAMPLES_PER_SHARD,
    Inputs,
    time_conditions,
    time_inline,
    time_on_ray,
    time_shares,
    write_inputs,
)

NETWORKS, INLINE, ON_RAY = "condset, the three networks alone", "all six conditions, inline", "all six conditions, Ray"
POSE_MODEL = "rtmo-m"


def bench_every_condition(timing: Timing, say: Say) -> Table:
    """Time the networks and the runs, with random weights; images are rounded up to whole shards."""
    import torch

    with tempfile.TemporaryDirectory(prefix="condset-bench-") as name:
        scratch = Path(name)
        networks = (
            {"kind": "sketch", "weights": str(fresh(random_pidinet, scratch / "pidinet.pth"))},
            {"kind": "depth", "weights": str(fresh(random_midas, scratch / "midas.pt"))},
            {
                "kind": "keypose",
                "model": POSE_MODEL,
                "weights": str(fresh(random_rtmo, POSE_MODEL, timing.size_pixels, scratch / "rtmo.pth")),
            },
        )
        shards = math.ceil(timing.images / SAMPLES_PER_SHARD)
        alone = Inputs(scratch / "inputs", timing.size_pixels, shards, networks)
        every = replace(alone, annotators=(*networks, {"kind": "color"}, {"kind": "canny"}, {"kind": "segmentation"}))
        say("drawing the images")
        fresh(write_inputs, alone)
        contenders: dict[str, Callable[[], Sequence[float]]] = {
            NETWORKS: partial(fresh, time_conditions, alone),
            ON_RAY: partial(fresh, time_on_ray, every),
            INLINE: partial(fresh, time_inline, every),
        }
        rows = rows_of(contenders, timing.rounds, say)
        say("where the time of a run goes")
        shares = fresh(time_shares, every)
    return Table(
        title=f"sketch, depth, keypose, color, canny and segmentation at {timing.size_pixels}x{timing.size_pixels}, "
        f"{torch.get_num_threads()} threads, random weights, {timing.rounds} rounds of {alone.images} images",
        rows=rows,
        time_shares=shares,
    )
