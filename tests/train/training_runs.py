"""Short training runs on the shared data sets, and what they leave behind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from train.config import TrainConfig
from train.loop.run import TrainJob, TrainSummary, train
from train.loop.watch import SilentWatcher, StepReport
from train.loop.worker import Worker
from train.runs.checkpoint import ADAPTER_FILE, last_checkpoint, read_parameters
from train.runs.metrics import read_metrics

STEPS = 6
SMALL: Mapping[str, Any] = {
    "name": "small-color",
    "condition": "color",
    "adapter": {"kind": "light"},
    "diffusion": {"kind": "tiny"},
    "optimizer": {"lr": 1e-3},
    "loop": {"max_steps": STEPS, "batch_size": 4, "device": "cpu", "dtype": "float32", "threads": 1, "log_every": 1},
    "loader": {"workers": 2, "shuffle_window": 8},
    "validation": {"every": 0, "preview_every": 0},
}


def small_config(**tables: Any) -> TrainConfig:
    """Six steps of four samples; a table given here is merged into the one there."""
    merged = dict(SMALL)
    for name, value in tables.items():
        merged[name] = {**SMALL.get(name, {}), **value} if isinstance(value, dict) else value
    return TrainConfig.model_validate(merged)


def small_job(data: Path, run: Path, held_out: Path | None = None, **tables: Any) -> TrainJob:
    return TrainJob(small_config(**tables), (str(data),), None if held_out is None else str(held_out), run)


def run_alone(job: TrainJob) -> TrainSummary:
    return train(job, Worker(), SilentWatcher())


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(run) if "loss" in line]


def adapter_bytes(run: Path) -> bytes:
    """The last checkpoint's adapter."""
    checkpoint = last_checkpoint(run)
    assert checkpoint is not None
    return (checkpoint / ADAPTER_FILE).read_bytes()


def difference(one: Path, other: Path) -> float:
    """How far apart the parameters of two runs' adapters are, but for the hundredth that is furthest.

    Where a gradient is nothing but rounding, AdamW makes a whole step of it, to either side.
    """
    ends = [last_checkpoint(run) for run in (one, other)]
    first, second = (read_parameters(end / ADAPTER_FILE) for end in ends if end)
    distances = torch.cat([(first[name] - second[name]).abs().flatten() for name in first])
    return float(distances.quantile(0.99))


class StopAfter(SilentWatcher):
    """Asks a run to stop when so many steps are done."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._done = 0

    def stepped(self, report: StepReport) -> None:
        self._done = report.done

    def stop_requested(self) -> bool:
        return self._done >= self._steps
