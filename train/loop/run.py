"""One run of `condset train`: from a configuration to a trained adapter, or on from wherever the last run got.

    prepared ──> claim RUN ──> last checkpoint ──> step, step, ... ──> checkpoints, metrics, validation, previews

The same loop runs on one device and on each worker of many; only the worker of rank 0 writes. Invariant: a run that was
stopped anywhere and resumed ends with the same bytes as one that was not (on a CPU, with the same threads).
"""

import contextlib
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.dataset.storage import Directory
from pipeline.writers.lease import writing
from stages.errors import ConfigError, NonFiniteLoss, NonFinitePicture, ShardCorrupt, StorageError, WorkerError
from stages.hardware.float32_products import float32_products
from stages.hardware.precision import resolve_device, resolve_dtype
from stages.hardware.process import torch_threads
from stages.settings import plain
from train.base.caption_cache import CaptionCache
from train.config import TrainConfig
from train.data.batch import Batch
from train.data.loader import loading
from train.data.order import batch_indices
from train.loop.optimization import Optimization
from train.loop.preparation import RunParts, prepare_run
from train.loop.throughput import Throughput
from train.loop.validation import paired_losses
from train.loop.watch import StepReport, Watcher
from train.loop.worker import Worker
from train.runs.checkpoint import Position, last_checkpoint, load_checkpoint, remove_partials, save_checkpoint
from train.runs.directory import RunFile, claim, refuse_other_run, run_inputs
from train.runs.metrics import MetricsLog
from train.runs.write_errors import explain_write_errors
from train.sampling.preview import PREVIEWS, draw_preview
from train.sampling.settings import SamplerSettings


@dataclass(frozen=True, slots=True)
class TrainJob:
    """What every worker of a run is told; picklable."""

    config: TrainConfig
    data: tuple[str, ...]
    """Locations of data sets, or LOCATION=SHARE for each."""
    validation: str | None
    run: Path
    take_over: bool = False
    """Whether another machine's lease of RUN is taken over without waiting for signs of life."""


@dataclass(frozen=True, slots=True)
class TrainSummary:
    """What a run did."""

    steps: int
    """Of the whole run."""
    steps_made: int
    """By this call; 0 if the run was complete already."""
    images_per_second: float
    checkpoint: Path


def train(job: TrainJob, worker: Worker, watch: Watcher) -> TrainSummary:
    """Train an adapter, or go on with it.

    Raises what `prepare_run` raises; CheckpointError if RUN holds another run or a checkpoint cannot be written;
    NonFiniteLoss; ShardCorrupt; WorkerError if a step does not fit in the GPU's memory; KeyboardInterrupt if `watch`
    asked for it. The steps before the last four are kept.
    """
    with torch_threads(job.config.loop.threads):
        loop = job.config.loop
        with worker.together():
            here = resolve_dtype(loop.dtype, resolve_device(loop.device))
        dtype = worker.gather(here)[0]  # what "auto" means to the first: two dtypes in one run would be neither's
        with worker.together():
            prepared = prepare_run(job.config, job.data, job.validation, dtype)
        with float32_products(prepared.base.device.type):
            return _train_prepared(job, worker, watch, prepared)


def _train_prepared(job: TrainJob, worker: Worker, watch: Watcher, prepared: RunParts) -> TrainSummary:
    loop = job.config.loop
    optimization = Optimization(prepared.adapter, prepared.base, job.config.optimizer, loop.max_steps)
    with _claimed(job, worker, watch, prepared):
        with worker.together():
            checkpoint = last_checkpoint(job.run)
            position = load_checkpoint(checkpoint, optimization) if checkpoint else Position(0, 0)
        if len({each.step for each in worker.gather(position)}) > 1:
            raise ConfigError(
                f"--out {job.run} must be one directory for all workers, got several; use one on a shared file system"
            )
        watch.say(_opening(job, prepared, position))
        if checkpoint and position.step >= loop.max_steps:
            return TrainSummary(position.step, 0, 0.0, checkpoint)
        steps = _Steps(job, worker, watch, prepared, optimization, position)
        steps.run()
        checkpoint = last_checkpoint(job.run)
        assert checkpoint is not None, "the last step saves one"
        return TrainSummary(loop.max_steps, loop.max_steps - position.step, steps.throughput.overall, checkpoint)


@contextlib.contextmanager
def _claimed(job: TrainJob, worker: Worker, watch: Watcher, prepared: RunParts) -> Iterator[None]:
    """Take the directory for this run while the block runs; another one that writes to it is DirectoryInUse."""
    with contextlib.ExitStack() as stack:
        with worker.together():
            if worker.is_first:
                file = _describe(job, prepared, worker)
                refuse_other_run(job.run, file)
                stack.enter_context(writing(Directory(str(job.run)), watch.say, job.take_over))
                claim(job.run, file)
                remove_partials(job.run)
        yield


class _Steps:
    """The loop, and what it writes."""

    def __init__(
        self,
        job: TrainJob,
        worker: Worker,
        watch: Watcher,
        prepared: RunParts,
        optimization: Optimization,
        position: Position,
    ) -> None:
        self._job = job
        self._worker = worker
        self._watch = watch
        self._prepared = prepared
        self._optimization = optimization
        self._position = self._saved = position
        self._mid_step = False
        """A step may have changed the weights without being counted."""
        self._captions_cut = 0
        """Of the samples since the last line of metrics."""
        self._told_of_cuts = False
        self._skipped = 0
        """Of the steps since then: in float16 the loss scale overflowed."""
        self._captions = CaptionCache(prepared.base, job.config.loop.caption_cache)
        self._samples_a_step = job.config.loop.batch_size * job.config.loop.accumulation * worker.count
        self.throughput = Throughput(self._samples_a_step)

    def run(self) -> None:
        """Take the steps that are left; keep those that were taken if something stops the run."""
        config = self._job.config
        done, steps = self._position.step, config.loop.max_steps
        log = MetricsLog(self._job.run, done) if self._worker.is_first else None
        pin = self._prepared.base.device.type == "cuda"
        try:
            with loading(self._prepared.read, self._ranges(done, steps), config.loader, pin) as batches:
                self._watch.started(done, steps)
                while self._position.step < steps:
                    self._step(batches, log)
        except (ShardCorrupt, StorageError, NonFiniteLoss):
            self._save()
            raise
        except KeyboardInterrupt:
            self._save_unless_mid_step()
            raise
        except torch.OutOfMemoryError as error:
            if self._worker.count > 1:  # the others wait for this one's gradients
                raise
            self._save_unless_mid_step()
            raise WorkerError(
                f"training must fit in the GPU's memory, got none left after step {self._position.step}; lower "
                "loop.batch_size and raise loop.accumulation, set loop.gradient_checkpointing = true, or lower "
                "validation.preview_samples"
            ) from error
        finally:
            if log:
                log.close()

    def _ranges(self, first: int, stop: int) -> Iterator[range]:
        """The global sample indices of every part of every step of this worker."""
        loop = self._job.config.loop
        for step, part in itertools.product(range(first, stop), range(loop.accumulation)):
            yield batch_indices(step, part, self._worker.rank, loop.batch_size, loop.accumulation, self._worker.count)

    def _step(self, batches: Iterator[Batch], log: MetricsLog | None) -> None:
        loop, step = self._job.config.loop, self._position.step + 1
        waiting = time.perf_counter()
        with self._worker.together():
            if self._watch.stop_requested():
                raise KeyboardInterrupt
            parts = list(itertools.islice(batches, loop.accumulation))
        waited = time.perf_counter() - waiting
        learning_rate = self._optimization.learning_rate
        with self._worker.together():
            loss = self._optimization.accumulate(parts, self._captions, step)
        self._mid_step = True
        grad_norm = self._optimization.apply(step)
        self._skipped += not math.isfinite(grad_norm)
        captions = (caption for part in parts for caption in part.captions)
        self._captions_cut += sum(self._prepared.base.tokens_cut(caption) > 0 for caption in captions)
        self._position = Position(step, self._position.samples + self._samples_a_step)
        self._mid_step = False
        self.throughput.stepped(loss, waited)
        self._watch.stepped(StepReport(step, loss, self.throughput.overall, self.throughput.waiting_share))
        last = step == loop.max_steps
        if step % loop.log_every == 0 or last:
            values = self.throughput.take()
            values["loss"] = self._worker.sum(values["loss"]) / self._worker.count
            values |= {"learning_rate": learning_rate, "grad_norm": grad_norm} | self._counted()
            values["epoch"] = self._position.samples / self._prepared.read.order.samples
            if log:
                log.write(step, values)
        with self._worker.together():
            if log:
                self._validate_and_preview(step, last, log)
            if step % loop.checkpoint_every == 0 or last:
                self._save()

    def _counted(self) -> dict[str, float]:
        """Take what was counted since the last line of metrics, of all workers, if there was any."""
        counts = {"captions_cut": self._worker.sum(self._captions_cut), "skipped_steps": float(self._skipped)}
        self._captions_cut = self._skipped = 0
        if counts["captions_cut"] and not self._told_of_cuts:
            self._told_of_cuts = True
            self._watch.say(
                f"{counts['captions_cut']:.0f} captions were cut by step {self._position.step}, which have more tokens "
                "than the base model reads; metrics.jsonl counts them"
            )
        return {name: count for name, count in counts.items() if count}

    def _validate_and_preview(self, step: int, last: bool, log: MetricsLog) -> None:
        """Measure and draw what the adapter does, if it is time to."""
        settings, prepared = self._job.config.validation, self._prepared
        adapter = self._optimization.best
        if prepared.held_out and settings.every and (step % settings.every == 0 or last):
            samples = min(settings.samples, prepared.held_out.order.samples)
            losses = paired_losses(
                prepared.base, adapter, self._captions, prepared.held_out, samples, self._job.config.loop.batch_size
            )
            log.write(step, losses.means())
        if settings.preview_every and (step % settings.preview_every == 0 or last):
            read = prepared.held_out or prepared.read
            samples = min(settings.preview_samples, read.order.samples)
            path = self._job.run / PREVIEWS / f"step-{step:07d}.png"
            sampler = SamplerSettings(settings.preview_steps, settings.guidance)
            try:
                picture = draw_preview(prepared.base, adapter, read, samples, sampler, settings.preview_seeds)
            except NonFinitePicture as error:  # the loss is finite, and days of training are worth more than a look
                self._watch.say(f"no preview of step {step}: {error}")
                return
            with explain_write_errors(path):
                path.parent.mkdir(exist_ok=True)
                picture.save(path)

    def _save_unless_mid_step(self) -> None:
        """Keep the steps that were taken, but not half of one."""
        if not self._mid_step:
            self._save()

    def _save(self) -> None:
        """Write a checkpoint of the last whole step, unless there is one."""
        if self._worker.is_first and self._position != self._saved:
            save_checkpoint(self._job.run, self._optimization, self._position, self._job.config.loop.checkpoints_kept)
            self._saved = self._position


def _describe(job: TrainJob, prepared: RunParts, worker: Worker) -> RunFile:
    return RunFile(
        config=plain(job.config),
        inputs=run_inputs(job.config, prepared.base, prepared.sets, worker.count, prepared.shares),
        data=[each.manifest.name for each in prepared.sets],
        base=prepared.base.identity,
        in_channels=prepared.read.channels,
        feature_shapes=[[shape.channels, shape.stride] for shape in prepared.base.feature_shapes],
        size_pixels=list(prepared.sets[0].size_pixels),
        parameters=sum(parameter.numel() for parameter in prepared.adapter.parameters()),
    )


def _opening(job: TrainJob, prepared: RunParts, position: Position) -> str:
    base = prepared.base
    parameters = sum(parameter.numel() for parameter in prepared.adapter.parameters())
    images = "cached latents" if prepared.sets[0].latents is not None else "images through the VAE"
    return (
        f"{job.config.adapter.kind} adapter for {job.config.condition.value}, {parameters:,} parameters, on "
        f"{base.device.type} in {str(base.dtype).removeprefix('torch.')}; {prepared.read.order.samples} samples, "
        f"{images}; step {position.step} of {job.config.loop.max_steps}"
    )
