"""The directory of a training run: what it is a run of, and the refusal to mix two runs in one directory.

    RUN/run.json   metrics.jsonl   tensorboard/   checkpoints/step-0001000/   previews/step-0001000.png

A run goes on only if everything that decides its result is the same; what decides only how fast it goes may change.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.dataset.fingerprint import Inputs, differences, flatten
from stages.errors import CheckpointError
from stages.locations import PARTIAL
from stages.settings import marks, plain
from train.base.protocol import FrozenDiffusion
from train.config import TrainConfig
from train.data.training_set import TrainingSet
from train.runs.write_errors import explain_write_errors

RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class RunFile:
    """run.json."""

    config: dict[str, Any]
    """As `TrainConfig` dumps it."""
    inputs: Inputs
    """What decides the result of the run."""
    data: list[str]
    base: str
    """sha256 of the base model's UNet."""
    in_channels: int
    feature_shapes: list[list[int]]
    """Channels and stride of each scale."""
    size_pixels: list[int]
    parameters: int


def run_inputs(
    config: TrainConfig,
    base: FrozenDiffusion,
    sets: list[TrainingSet],
    workers: int,
    shares: Sequence[float] = (),
) -> Inputs:
    """Collect what decides the result of a run."""
    # What is marked may change between two parts of a run: batch size, accumulation and workers count by their product,
    # the base model by its parameters, latents by whether they were used.
    marked = tuple(marks(config))
    inputs: Inputs = {
        name: value
        for name, value in flatten("", plain(config)).items()
        if value is not None and not any(name == mark or name.startswith(f"{mark}.") for mark in marked)
    }
    inputs |= {f"data.{number}": " ".join(each.fingerprints) for number, each in enumerate(sets)}
    inputs |= {f"data.{number}.share": share for number, share in enumerate(shares)}
    inputs["samples a step"] = config.loop.batch_size * config.loop.accumulation * workers
    inputs["latents"] = all(each.latents is not None for each in sets)
    inputs["base"] = base.identity
    if config.optimizer.schedule == "cosine":
        inputs["loop.max_steps"] = config.loop.max_steps
    return inputs


def refuse_other_run(run: Path, file: RunFile) -> None:
    """Raise CheckpointError if a directory holds another run, naming what differs, or something else."""
    there = read_run(run) if (run / RUN_FILE).is_file() else None
    if there is not None:
        differing = differences(there.inputs, file.inputs)
        if differing:
            raise CheckpointError(f"{run} must hold this run, got another one ({differing}); give another --out")
    elif run.is_file():
        raise CheckpointError(f"{run} must be a new directory or a run's, got a file; give another --out")
    elif run.is_dir() and any(not path.name.startswith(".") for path in run.iterdir()):
        first = sorted(path.name for path in run.iterdir() if not path.name.startswith("."))[0]
        raise CheckpointError(f"{run} must be a new directory or a run's, got one with {first}; give another --out")


def claim(run: Path, file: RunFile) -> None:
    """Take a directory for a run, or go on in it; CheckpointError as `refuse_other_run`, or if it cannot be written."""
    refuse_other_run(run, file)
    with explain_write_errors(run / RUN_FILE):
        run.mkdir(parents=True, exist_ok=True)
        partial = run / f".{RUN_FILE}{PARTIAL}"
        partial.write_text(json.dumps(asdict(file), indent=2) + "\n")
        partial.replace(run / RUN_FILE)


def read_run(run: Path) -> RunFile:
    """Read run.json; CheckpointError if it is missing or malformed."""
    path = run / RUN_FILE
    try:
        return RunFile(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise CheckpointError(f"{path} must be a run's description, got none; `condset train` makes one") from None
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} must be a run's description, got {error!r}; give another directory") from None
