"""Checkpoints: everything that a run goes on from, in one directory that appears complete or not at all.

    step-0001000.<attempt>.partial/ ──files, synced──rename──> checkpoints/step-0001000/
        adapter.safetensors   ema.safetensors   optimizer.pt   position.json

The position in the data is the step's number: order and randomness are functions of the global sample index. The
invariant: a kill at any instant leaves the former checkpoint whole.
"""

import json
import os
import pickle
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from stages.errors import CheckpointError
from stages.file_hash import file_sha256
from stages.locations import PARTIAL
from train.runs.file_mode import usual_mode

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim.swa_utils import AveragedModel

CHECKPOINTS = "checkpoints"
ADAPTER_FILE = "adapter.safetensors"
EMA_FILE = "ema.safetensors"
OPTIMIZER_FILE = "optimizer.pt"
POSITION_FILE = "position.json"


class Trained(Protocol):
    """What a checkpoint holds: networks, and the state of whatever changes them."""

    adapter: "nn.Module"
    ema: "AveragedModel | None"

    def state(self) -> dict[str, Any]:
        """What is to be kept besides the parameters, of plain values and tensors."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave; raises what torch raises if it is another network's."""
        ...


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run has come."""

    step: int
    """Optimizer steps taken."""
    samples: int
    """Samples visited by all workers together."""


def save_checkpoint(run: Path, trained: Trained, position: Position, kept: int) -> Path:
    """Write a checkpoint and remove all but the last `kept`.

    Raises CheckpointError, with the former checkpoints untouched, if the file system does not take it.
    """
    directory = run / CHECKPOINTS
    final = directory / f"step-{position.step:07d}"
    partial = directory / f"{final.name}.{uuid.uuid4().hex}{PARTIAL}"
    try:
        partial.mkdir(parents=True)
        save_parameters(partial / ADAPTER_FILE, trained.adapter)
        if trained.ema is not None:
            save_parameters(partial / EMA_FILE, trained.ema.module)
        torch.save(trained.state(), partial / OPTIMIZER_FILE)
        sha256 = {path.name: file_sha256(path) for path in sorted(partial.iterdir())}
        (partial / POSITION_FILE).write_text(json.dumps(asdict(position) | {"sha256": sha256}) + "\n")
        for path in [*partial.iterdir(), partial]:
            _sync(path)
        if final.exists():  # of a run that was killed after this step and has come here again
            shutil.rmtree(final)
        partial.rename(final)
        _sync(directory)
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch and safetensors report a full disk as errors of their own.
        shutil.rmtree(partial, ignore_errors=True)
        reason = " ".join(str(error).split())[:200]
        last = last_checkpoint(run)
        raise CheckpointError(
            f"{final} must be written, got {type(error).__name__}: {reason}; make room and run again, "
            + (f"training goes on from {last.name}" if last else "no checkpoint was written before")
        ) from error
    for old in checkpoints(run)[:-kept]:
        shutil.rmtree(old)
    return final


def checkpoints(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    found = (run / CHECKPOINTS).glob("step-*")
    return sorted(path for path in found if not path.name.endswith(PARTIAL))


def last_checkpoint(run: Path) -> Path | None:
    """The newest complete checkpoint of a run, or None."""
    return next(reversed(checkpoints(run)), None)


def remove_partials(run: Path) -> None:
    """Remove what attempts that were cut off have left."""
    for path in (run / CHECKPOINTS).glob(f"*{PARTIAL}"):
        shutil.rmtree(path, ignore_errors=True)


def read_position(checkpoint: Path) -> Position:
    """Read how far a checkpoint's run had come; CheckpointError if it does not say."""
    return _read_position_file(checkpoint)[0]


def _read_position_file(checkpoint: Path) -> tuple[Position, dict[str, str]]:
    """Read the position, and the sha256 of each file."""
    try:
        content = json.loads((checkpoint / POSITION_FILE).read_text())
        return Position(content["step"], content["samples"]), content["sha256"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(_damaged(checkpoint, error)) from None


def load_checkpoint(checkpoint: Path, trained: Trained) -> Position:
    """Take up a checkpoint; CheckpointError if a file of it is missing, damaged or of another network.

    torch's files have no checksum: of 192 flipped bytes 124 were loaded without a word, so each file is hashed before.
    """
    position, sha256 = _read_position_file(checkpoint)
    for name, expected in sha256.items():
        there = file_sha256(checkpoint / name) if (checkpoint / name).is_file() else "no file"
        if there != expected:
            raise CheckpointError(
                f"{checkpoint / name} must have sha256 {expected[:12]}, got {there[:12]}; remove {checkpoint.name}, "
                "and training goes on from the checkpoint before"
            )
    load_parameters(checkpoint / ADAPTER_FILE, trained.adapter)
    if trained.ema is not None:
        load_parameters(checkpoint / EMA_FILE, trained.ema.module)
    try:
        state: dict[str, Any] = torch.load(checkpoint / OPTIMIZER_FILE, map_location="cpu", weights_only=True)
        trained.load_state(state)
    except (RuntimeError, ValueError, LookupError, pickle.UnpicklingError) as error:
        raise CheckpointError(_damaged(checkpoint, error)) from error
    return position


def save_parameters(path: Path, network: "nn.Module") -> None:
    """Write a network's parameters as safetensors, float32, in the order of their names: equal values, equal bytes."""
    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_safetensors(path, tensors, {})


def save_safetensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str]) -> None:
    """Write a safetensors file that others may read, as any new file of this user; the library's are private."""
    save_file(dict(tensors), path, metadata={"format": "pt"} | dict(metadata))
    path.chmod(usual_mode(path.parent))


def read_parameters(path: Path) -> "dict[str, Tensor]":
    """Read a safetensors file; CheckpointError if it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(_damaged(path, error)) from None


def load_parameters(path: Path, network: "nn.Module") -> None:
    """Load a network's parameters; CheckpointError if the file is damaged or of another network."""
    load_named(network, read_parameters(path), str(path))


def load_named(network: "nn.Module", tensors: "Mapping[str, Tensor]", where: str) -> None:
    """Load parameters by name; CheckpointError, naming one of them, if they are not exactly the network's."""
    wanted = network.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        there = tuple(tensors[name].shape) if name in tensors else "none"
        here = tuple(wanted[name].shape) if name in wanted else "none"
        if there != here:
            raise CheckpointError(
                f"{where} {name} must have shape {here}, got {there}; set the adapter.kind and condition that it was "
                "trained with"
            )
    network.load_state_dict(dict(tensors))


def _damaged(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return (
        f"{path} must be readable, got {type(error).__name__}: {reason}; remove it, and training goes on from the "
        "checkpoint before"
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
