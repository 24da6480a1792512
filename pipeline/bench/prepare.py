"""`condset bench prepare`: sketch, color and segmentation end to end, beside the loop that people write.

    plain loop, conditions alone, inline, Ray, plain, ...    each in a fresh process; the medians are compared

The invariant: every contender reads the same files and makes the same members of them.
"""

import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from pipeline.bench.detectors import pidinet_weights
from pipeline.bench.inputs import SPLIT, BenchInputs, inputs_for, write_inputs
from pipeline.bench.measure import Say, Table, fresh, rows_of
from pipeline.bench.networks import Timing
from pipeline.bench.plain_prepare import prepare_plainly
from pipeline.bench.timed_runs import (
    find_limits,
    steady_seconds,
    time_conditions,
    time_inline,
    time_on_ray,
    time_shares,
)
from pipeline.execution.resources import this_machine
from stages.annotators.color import ColorConfig
from stages.annotators.segmentation.annotator import SegmentationConfig
from stages.annotators.sketch.annotator import SketchConfig

PLAIN, ALONE = "plain loop: controlnet_aux, PIL, webdataset", "condset, the conditions alone"
INLINE, ON_RAY = "condset prepare, inline", "condset prepare, Ray"


def bench_prepare(timing: Timing, weights_dir: Path | None, say: Say) -> Table:
    """Time the contenders; the images of a round are rounded up to whole shards.

    All are compared with the limit of what condset computes, of which the plain loop computes more.
    """
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as name:
        scratch = Path(name)
        weights = pidinet_weights(weights_dir, scratch)
        annotators = (SketchConfig(weights=str(weights.path)), ColorConfig(), SegmentationConfig())
        inputs = inputs_for(timing, scratch / "inputs", annotators, this_machine())
        say("drawing the images")
        fresh(write_inputs, inputs)
        say("what this machine can do at most")
        limits = find_limits(inputs, timing)
        contenders: dict[str, Callable[[], float]] = {
            PLAIN: partial(fresh, time_plain_loop, inputs, weights.path),
            ALONE: partial(fresh, time_conditions, inputs),
            INLINE: partial(fresh, time_inline, inputs),
            ON_RAY: partial(fresh, time_on_ray, inputs),
        }
        limit_of = dict.fromkeys(contenders, limits.run) | {ALONE: limits.conditions}
        rows = rows_of(contenders, timing.rounds, say, limit_of)
        say("where the time of a run goes")
        shares = fresh(time_shares, inputs)
    title = timing.title("sketch, color and segmentation", [weights], inputs.images)
    return Table(title, rows, shares.places, shares.gpu_busy)


def time_plain_loop(inputs: BenchInputs, weights: Path) -> float:
    """Seconds per image of the loop that people write, after as many images as a shard has."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as out:
        keys = prepare_plainly(
            inputs.root, SPLIT, Path(out), inputs.size_pixels, weights, inputs.samples_per_shard, inputs.device
        )
        with closing(keys):
            return steady_seconds(keys, inputs)
