"""`condset bench prepare --every-condition`: what one pass over all six costs beyond its networks.

    sketch, depth and keypose on decoded images, alone     networks' seconds per image
    all six conditions, from the files to the shards       seconds per image of the run

The invariant: both see the same images, as many at once, and the networks are the same.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline.bench.detectors import midas_weights, pidinet_weights
from pipeline.bench.inputs import inputs_for, write_inputs
from pipeline.bench.keypose import OneStageModel, rtmo_weights
from pipeline.bench.measure import Say, Table, fresh, rows_of
from pipeline.bench.networks import Timing
from pipeline.bench.timed_runs import find_limits, time_conditions, time_inline, time_on_ray, time_shares
from pipeline.execution.resources import this_machine
from stages.annotators.canny import CannyConfig
from stages.annotators.color import ColorConfig
from stages.annotators.depth.annotator import DepthConfig
from stages.annotators.keypose.annotator import KeyposeConfig
from stages.annotators.segmentation.annotator import SegmentationConfig
from stages.annotators.sketch.annotator import SketchConfig

NETWORKS, INLINE, ON_RAY = "condset, the three networks alone", "all six conditions, inline", "all six conditions, Ray"
POSE_MODEL: OneStageModel = "rtmo-m"


def bench_every_condition(timing: Timing, weights_dir: Path | None, say: Say) -> Table:
    """Time the networks and the runs; images are rounded up to whole shards, weights that are not here are random."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as name:
        scratch = Path(name)
        pidinet, midas = pidinet_weights(weights_dir, scratch), midas_weights(weights_dir, scratch)
        rtmo = rtmo_weights(POSE_MODEL, timing.size_pixels, weights_dir, scratch)
        networks = (
            SketchConfig(weights=str(pidinet.path)),
            DepthConfig(weights=str(midas.path)),
            KeyposeConfig(model=POSE_MODEL, weights=str(rtmo.path)),
        )
        alone = inputs_for(timing, scratch / "inputs", networks, this_machine())
        every = replace(alone, annotators=(*networks, ColorConfig(), CannyConfig(), SegmentationConfig()))
        say("drawing the images")
        fresh(write_inputs, alone)
        say("what this machine can do at most")
        limits = find_limits(every, timing)
        contenders: dict[str, Callable[[], float]] = {
            NETWORKS: partial(fresh, time_conditions, alone),
            ON_RAY: partial(fresh, time_on_ray, every),
            INLINE: partial(fresh, time_inline, every),
        }
        limit_of = dict.fromkeys(contenders, limits.run) | {NETWORKS: limits.conditions}
        rows = rows_of(contenders, timing.rounds, say, limit_of)
        say("where the time of a run goes")
        shares = fresh(time_shares, every)
    what = "sketch, depth, keypose, color, canny and segmentation"
    return Table(timing.title(what, [pidinet, midas, rtmo], alone.images), rows, shares.places, shares.gpu_busy)
