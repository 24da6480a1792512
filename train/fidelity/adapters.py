"""The adapters that an evaluation measures: one run for each condition, all on one base.

    RUN ──last checkpoint──> file, its sha256, what its condition picture becomes ──(workers)──> network

Invariant: what travels to the workers is a reference, and the file that they open is the one that was hashed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stages.errors import CheckpointError, ConfigError
from stages.file_hash import file_sha256
from stages.records import Condition, UInt8Array
from train.base.protocol import FrozenDiffusion, shapes_text
from train.config import TrainConfig
from train.data.conditions import ConditionsConfig, decode_condition
from train.exchange.architecture import Architecture
from train.exchange.read import StoredAdapter, open_adapter, run_config, stored_in_run
from train.fidelity.held_out import HeldOut
from train.runs.directory import RunFile, read_run
from train.sampling.controls import as_seen

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """Where an adapter lies, and what it is shown."""

    stored: StoredAdapter
    sha256: str
    condition: Condition
    settings: ConditionsConfig

    @property
    def architecture(self) -> Architecture:
        assert self.stored.architecture is not None, "a run says what its adapter is"
        return self.stored.architecture

    def open(self) -> "nn.Module":
        """Load the network, on the CPU; CheckpointError if it cannot be read, or is another one by now."""
        found = file_sha256(self.stored.file, fresh=True)
        if found != self.sha256:
            raise CheckpointError(
                f"{self.stored.file} must stay what it was when the evaluation began, {self.sha256[:12]}, got "
                f"{found[:12]}; run again when nobody writes to it"
            )
        return open_adapter(self.stored).module

    def sees(self, held_out: HeldOut, sample: int) -> UInt8Array:
        """Read what it is shown of a sample, (channels, height, width)."""
        content = held_out.members(sample)[f"{self.condition}.png"]
        where = f"{held_out.sets[0].directory} sample {held_out.keys[sample]}"
        picture = decode_condition(content, where)
        return as_seen(picture, self.condition, self.settings, self.architecture.in_channels)


@dataclass(frozen=True, slots=True)
class EvaluatedRun:
    """A run whose last checkpoint is measured."""

    path: Path
    file: RunFile
    config: TrainConfig
    adapter: AdapterFile


def open_runs(paths: Sequence[Path]) -> tuple[EvaluatedRun, ...]:
    """Read what the runs say of themselves.

    Raises ConfigError for two of one condition, CheckpointError for one without a checkpoint.
    """
    runs: list[EvaluatedRun] = []
    for path in paths:
        file = read_run(path)
        config, stored = run_config(path, file), stored_in_run(path)
        for other in runs:
            if other.config.condition is config.condition:
                raise ConfigError(
                    f"each RUN must be of a condition of its own, got {config.condition} in {other.path} and in {path};"
                    " evaluate one of them"
                )
        adapter = AdapterFile(stored, file_sha256(stored.file, fresh=True), config.condition, config.conditions)
        runs.append(EvaluatedRun(path, file, config, adapter))
    return tuple(runs)


def check_base(runs: Sequence[EvaluatedRun], base: FrozenDiffusion, is_named: bool) -> None:
    """Refuse a base that does not take the features of a run, or, unless the user named it, that is not the run's."""
    for run in runs:
        shapes = run.adapter.architecture.shapes
        if shapes != base.feature_shapes:
            raise ConfigError(
                f"--base must take the features of {run.path}, {shapes_text(shapes)}, got "
                f"{shapes_text(base.feature_shapes)}; give one that does"
            )
        if not is_named and base.identity != run.file.base:
            raise ConfigError(
                f"{run.path} must be evaluated with the base that it was trained on, {run.file.base[:12]}, got "
                f"{base.identity[:12]}; give --base to choose it or another"
            )
