"""`condset bench train`: images per second and peak memory of our step, beside the loop that people write.

    drawn scenes ──prepare──> data set ──encode──> latents     once, with a base model of random weights
    plain, images, latents, remembered, plain, ...             each in a fresh process; medians over the rounds

Every contender trains the same adapter on the same samples with the same draws, read ahead by the same loader: what
differs is the step. Captions never repeat for the first three, as in a data set far larger than the cache; the fourth
finds every caption in it. Peak memory is that of the steps, after the warm-up.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pipeline.bench.device import device_name, finish
from pipeline.bench.limit import Bottleneck, Limit, best_rates, flops_of, multiplied_dtype
from pipeline.bench.measure import Say, Table, compared, fresh, in_turn, peak_memory_bytes
from stages.hardware.float32_products import float32_products
from stages.hardware.precision import Dtype
from train.base.caption_cache import CaptionCache
from train.bench.models import ModelName
from train.bench.plain_loop import PlainLoop
from train.config import TrainConfig
from train.loop.optimization import Optimization

if TYPE_CHECKING:
    from train.data.batch import Batch
    from train.loop.preparation import RunParts

WARM_UP_STEPS = 2
CONDITION = "color"
"""Needs no weights."""
REMEMBERED_CAPTIONS = 4096
CLEAR_REFS = Path("/proc/self/clear_refs")
"""Linux: "5" sets the process's peak memory to what it holds now (proc_pid_clear_refs(5))."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What a model is measured with if nothing else is said."""

    size_pixels: int
    batch_size: int
    steps: int


USUAL = {
    ModelName.TINY: Usual(256, 8, 20),
    ModelName.HALF: Usual(256, 2, 4),
    ModelName.SD15: Usual(512, 8, 20),
}


class LoopName(StrEnum):
    """A way to train the adapter."""

    PLAIN = "plain diffusers loop"
    IMAGES = "condset, images"
    LATENTS = "condset, cached latents"
    REMEMBERED = "condset, cached latents and captions"


@dataclass(frozen=True, slots=True)
class StepSetting:
    """What all contenders have in common."""

    model: ModelName
    size_pixels: int
    batch_size: int
    steps: int
    """That are timed, in each round."""
    device: str
    dtype: Dtype


@dataclass(frozen=True, slots=True)
class Measured:
    """One process of one contender."""

    step_seconds: list[float]
    losses: list[float]
    """Of the warm-up too."""
    peak_memory_bytes: int
    """Of the GPU's allocator, or of the process on a CPU."""
    step_flops: int
    """Of the matrix products and convolutions of a step, forward and backward."""


@dataclass(frozen=True, slots=True)
class TrainBench:
    """The result of `bench_train`."""

    setting: StepSetting
    table: Table
    peak_memory_bytes: Mapping[str, int]
    """Of each contender, the median of the rounds."""
    losses: Mapping[str, Sequence[float]]
    """Of the first round's steps; equal for all contenders but for rounding."""

    def lines(self, images: int) -> list[str]:
        """Say it to people, with how long training on `images` images takes with the last contender."""
        peaks = "; ".join(f"{name} {peak / 1e9:.2f}" for name, peak in self.peak_memory_bytes.items())
        return [*self.table.lines(images), f"  GB at most: {peaks}"]

    def for_machines(self, images: int) -> dict[str, object]:
        """Return the same as plain values: the table's, and the fields of this class."""
        own = {"peak_memory_bytes": dict(self.peak_memory_bytes), "losses": dict(self.losses)}
        return self.table.for_machines(images) | {"setting": asdict(self.setting)} | own


def bench_train(setting: StepSetting, rounds: int, say: Say) -> TrainBench:
    """Time the plain loop and condset's step on one base model."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as scratch:
        say(f"making the data set and the random {setting.model}")
        fresh(make_inputs, setting, Path(scratch))
        say("what this machine can do at most")
        dtype = multiplied_dtype(setting.dtype, setting.device)
        rate = fresh(best_rates, (dtype,), rounds, setting.device)[dtype]
        measured: dict[LoopName, list[Measured]] = {contender: [] for contender in LoopName}
        for contender in in_turn(LoopName, rounds, say):
            measured[contender].append(fresh(measure, setting, Path(scratch), contender))
    return summarised(measured, setting, rounds, rate)


def summarised(
    measured: Mapping[LoopName, Sequence[Measured]], setting: StepSetting, rounds: int, rate: float
) -> TrainBench:
    """Reduce the rounds of each contender to the medians of their median steps.

    `rate` is FLOP a second of matrix products here, in the setting's dtype.
    """
    seconds = {
        name: [statistics.median(each.step_seconds) / setting.batch_size for each in runs]
        for name, runs in measured.items()
    }
    limits = {
        name: Limit(runs[0].step_flops / rate / setting.batch_size, Bottleneck.MATRIX_PRODUCTS)
        for name, runs in measured.items()
    }
    size = f"{setting.size_pixels}x{setting.size_pixels}"
    title = (
        f"{setting.model} with random weights, color of drawn scenes at {size}, batch {setting.batch_size}, "
        f"{setting.dtype}, {device_name(setting.device)}, {rounds} rounds of {setting.steps} steps"
    )
    return TrainBench(
        setting,
        Table(title, compared(seconds, limits)),
        {name: int(statistics.median(each.peak_memory_bytes for each in runs)) for name, runs in measured.items()},
        {name: runs[0].losses for name, runs in measured.items()},
    )


def make_inputs(setting: StepSetting, scratch: Path) -> None:
    """Save the base model, prepare as many scenes as the steps visit, and encode them."""
    from pipeline.config import ExecutionConfig, PrepareConfig, check_config
    from pipeline.dataset.storage import Directory
    from pipeline.environment import Environment
    from pipeline.execution.inline import InlineExecutor
    from pipeline.layer import prepare_layer
    from pipeline.run import prepare
    from stages.annotators.latents import LatentsConfig
    from stages.settings import changed
    from stages.weights.store import WeightsStore
    from train.bench.models import bench_parts, save_parts

    save_parts(bench_parts(setting.model), scratch / "model")
    samples = (WARM_UP_STEPS + setting.steps) * setting.batch_size
    size = {"width_pixels": setting.size_pixels, "height_pixels": setting.size_pixels}
    tables = {
        "name": "bench",
        "samples_per_shard": samples,
        "source": {"kind": "synthetic", "count": samples, **size},
        "image": {"size_pixels": setting.size_pixels},
        "annotators": [{"kind": CONDITION}],
    }
    config = check_config(tables, "bench", PrepareConfig)
    data, here = Directory(str(scratch / "data")), Environment(InlineExecutor(), WeightsStore(allow_network=False))
    prepare(config, data, here)
    latents = LatentsConfig(model=str(scratch / "model"), dtype=setting.dtype)
    execution = ExecutionConfig.model_validate({"device": setting.device})
    prepare_layer(changed(config, annotators=(latents,), execution=execution), data, here)


def measure(setting: StepSetting, scratch: Path, contender: LoopName) -> Measured:
    """Take the steps of one contender; in a process of its own if its memory is to be its own."""
    from train.data.loader import loading
    from train.loop.preparation import prepare_run

    config = _config(setting, scratch, contender)
    prepared = prepare_run(config, [str(scratch / "data")], None)
    count = WARM_UP_STEPS + setting.steps
    ranges = [range(step * setting.batch_size, (step + 1) * setting.batch_size) for step in range(count)]
    on_gpu = prepared.base.device.type == "cuda"
    seconds, losses = [], list[float]()
    # The plain loop leaves torch as it is; `train` does not.
    products = nullcontext() if contender is LoopName.PLAIN else float32_products(prepared.base.device.type)
    with products, loading(prepared.read, ranges, config.loader, on_gpu) as batches:
        take_step = _stepper(config, contender, prepared, ranges)
        step_flops = flops_of(lambda: losses.append(take_step(next(batches))))
        for number in range(1, count):
            if number == WARM_UP_STEPS:
                _forget_peak(on_gpu)
            started = time.perf_counter()
            losses.append(take_step(next(batches)))
            finish(setting.device)
            seconds.append(time.perf_counter() - started)
    return Measured(seconds[-setting.steps :], losses, _peak_memory(on_gpu), step_flops)


def _config(setting: StepSetting, scratch: Path, contender: LoopName) -> TrainConfig:
    """The run that `condset train` would be told to make; a new caption in every visit is one that is not kept."""
    return TrainConfig.model_validate(
        {
            "name": "bench",
            "condition": CONDITION,
            "diffusion": {"kind": "stable_diffusion", "model": str(scratch / "model")},
            "loop": {
                "max_steps": WARM_UP_STEPS + setting.steps,
                "batch_size": setting.batch_size,
                "device": setting.device,
                "dtype": setting.dtype,
                "channels_last": contender is not LoopName.PLAIN,
                "latents": "never" if contender in (LoopName.PLAIN, LoopName.IMAGES) else "auto",
                "caption_cache": REMEMBERED_CAPTIONS if contender is LoopName.REMEMBERED else 0,
            },
        }
    )


def _stepper(
    config: TrainConfig, contender: LoopName, prepared: "RunParts", ranges: Sequence[range]
) -> "Callable[[Batch], float]":
    """Make what takes a step on a batch and returns its loss."""
    if contender is LoopName.PLAIN:
        return PlainLoop(prepared.base.parts, prepared.adapter, prepared.base.device, prepared.base.dtype).step
    optimization = Optimization(prepared.adapter, prepared.base, config.optimizer, config.loop.max_steps)
    captions = CaptionCache(prepared.base, config.loop.caption_cache)
    if contender is LoopName.REMEMBERED:
        for indices in ranges:
            captions([prepared.read(index).draws.caption for index in indices])

    def take_step(batch: "Batch") -> float:
        loss = optimization.accumulate([batch], captions, 0)
        optimization.apply(0)
        return loss

    return take_step


def _forget_peak(on_gpu: bool) -> None:
    """Let the peak begin anew, where the system can: what loading took at most says nothing of training."""
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    elif CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")


def _peak_memory(on_gpu: bool) -> int:
    return torch.cuda.max_memory_allocated() if on_gpu else peak_memory_bytes()
