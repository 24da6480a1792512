"""Open an adapter wherever it comes from: a run, diffusers, or one of the released files.

    RUN/checkpoints/step-0001000/{ema,adapter}.safetensors ──────────────────┐
    DIRECTORY/config.json + diffusion_pytorch_model.* (see saved_files) ─────┼──> diffusers' names ──> module
    FILE.pth, FILE.safetensors (released layout or diffusers') ──from_t2i────┘

Invariant: nothing in a file is executed, and a parameter that does not fit is an error, never left out.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from stages.errors import CheckpointError
from stages.locations import with_home
from stages.records import Condition
from stages.setting_errors import setting_name
from stages.weights.state_dicts import is_safetensors, load_state_dict
from stages.weights.store import WeightsFile
from train.adapters.spatial import AdapterConfig, build_adapter
from train.base.protocol import FeatureShape
from train.config import TrainConfig
from train.exchange.architecture import AdapterKind, Architecture, architecture_of_config, architecture_of_tensors
from train.exchange.saved_files import WEIGHTS_FILE, files_of, find_weights
from train.exchange.t2i_layout import from_t2i, is_diffusers, is_t2i
from train.runs.checkpoint import ADAPTER_FILE, EMA_FILE, checkpoints, load_named
from train.runs.directory import RUN_FILE, RunFile, read_run

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG_FILE = "config.json"
CONDITION_ENTRY = "condition"
"""Of the metadata of a safetensors file that condset wrote; other programs ignore it."""


@dataclass(frozen=True, slots=True)
class StoredAdapter:
    """Where an adapter lies, and what is known of it before its parameters are read."""

    file: Path
    architecture: Architecture | None
    """None if only the parameters tell."""
    condition: Condition | None


@dataclass(frozen=True, slots=True)
class LoadedAdapter:
    """An adapter that is ready to run, on the CPU in float32."""

    kind: AdapterKind
    in_channels: int
    shapes: tuple[FeatureShape, ...]
    condition: Condition | None
    """None if nobody wrote down what it was trained on."""
    module: "nn.Module"
    """Takes (batch, in_channels, height, width) in [0, 1]; returns one map for each of `shapes`."""


def load_into(adapter: "nn.Module", path: str) -> None:
    """Load a stored adapter's parameters into a network of `build_adapter`, for fine-tuning.

    Raises CheckpointError, naming the file and the first parameter that does not fit, or if there is no adapter at
    `path`; WeightsError if torch cannot read a .pth file.
    """
    stored = find_adapter(Path(with_home(str(path))))
    load_named(adapter, read_tensors(stored.file), str(stored.file))


def read_adapter(path: Path) -> LoadedAdapter:
    """Open a RUN directory, a directory of diffusers or a file as a network; raises what `load_into` raises."""
    return open_adapter(find_adapter(path))


def open_adapter(stored: StoredAdapter) -> LoadedAdapter:
    """Build the network and load its parameters; raises what `load_into` raises."""
    tensors, where = read_tensors(stored.file), str(stored.file)
    known = stored.architecture or architecture_of_tensors(tensors, where)
    module = build_adapter(AdapterConfig(kind=known.kind), known.in_channels, known.shapes)
    load_named(module, tensors, where)
    module.eval().requires_grad_(False)
    return LoadedAdapter(known.kind, known.in_channels, known.shapes, stored.condition, module)


def find_adapter(path: Path) -> StoredAdapter:
    """Find out what is at `path`; CheckpointError if it is no adapter."""
    if path.is_file():
        return StoredAdapter(path, None, _condition(files_of(path)[0]))
    if (path / RUN_FILE).is_file():
        return stored_in_run(path)
    config = path / CONFIG_FILE
    if config.is_file() and (file := find_weights(path)) is not None:
        return StoredAdapter(file, architecture_of_config(_json(config), str(config)), _condition(files_of(file)[0]))
    got = f"a directory without {RUN_FILE} or {CONFIG_FILE} and {WEIGHTS_FILE}" if path.is_dir() else "nothing"
    raise CheckpointError(
        f"{path} must be a run, a directory of T2IAdapter.save_pretrained, or a .pth or .safetensors file, got {got}; "
        "correct the path"
    )


def stored_in_run(run: Path, step: int | None = None) -> StoredAdapter:
    """Find the adapter of a run's checkpoint, the last one or that of a step; its moving average if it has one.

    Raises CheckpointError if the run has no such checkpoint.
    """
    file = read_run(run)
    config = run_config(run, file)
    found = {int(path.name.removeprefix("step-")): path for path in checkpoints(run)}
    if not found:
        raise CheckpointError(f"{run} must have a checkpoint, got none; go on with `condset train`")
    wanted = max(found) if step is None else step
    if wanted not in found:
        there = ", ".join(map(str, found))
        raise CheckpointError(f"{run} must have a checkpoint of step {wanted}, got {there}; give one of them")
    average = found[wanted] / EMA_FILE
    shapes = tuple(FeatureShape(channels, stride) for channels, stride in file.feature_shapes)
    return StoredAdapter(
        average if average.is_file() else found[wanted] / ADAPTER_FILE,
        Architecture(config.adapter.kind, file.in_channels, shapes),
        config.condition,
    )


def run_config(run: Path, file: RunFile) -> TrainConfig:
    """Read a run's configuration; CheckpointError if it is of another version of condset."""
    try:
        return TrainConfig.model_validate(file.config)
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(
            f"{run / RUN_FILE} {setting_name(first)} must be as this version of condset has it, got "
            f"{str(first['input'])[:80]!r}; use the condset that trained it"
        ) from None


def read_tensors(path: Path) -> "dict[str, Tensor]":
    """Read an adapter's parameters under diffusers' names, as they are stored, from a file or the index of several.

    Raises CheckpointError if the file is damaged or holds no adapter, WeightsError if torch cannot read it.
    """
    tensors: dict[str, Tensor] = {}
    for file in files_of(path):
        tensors |= _read_safetensors(file) if is_safetensors(file) else load_state_dict(WeightsFile(file, ""))
    tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}  # of DataParallel
    if is_diffusers(tensors):
        return tensors
    if is_t2i(tensors):
        return from_t2i(tensors)
    raise CheckpointError(
        f"{path} must hold a T2I adapter, got {len(tensors)} parameters such as {min(tensors, default='none')}; "
        "give a file with body.0.* or adapter.body.0.*"
    )


def _read_safetensors(path: Path) -> "dict[str, Tensor]":
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(_damaged(path, error)) from None


def _condition(path: Path) -> Condition | None:
    """What condset wrote down in a safetensors file that it exported."""
    try:
        if not is_safetensors(path):
            return None
        with safe_open(path, "pt") as file:
            name = (file.metadata() or {}).get(CONDITION_ENTRY)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(_damaged(path, error)) from None
    return Condition(name) if name in set(Condition) else None


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(_damaged(path, error)) from None
    return content if isinstance(content, dict) else {}


def _damaged(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"{path} must be readable, got {type(error).__name__}: {reason}; copy or download it again"
