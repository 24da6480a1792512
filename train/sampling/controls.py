"""What steers a picture: an adapter and the condition picture that it is shown, both read from files.

    --adapter out/run   --condition sketch.png   --weight 0.5    paired in the order in which they are typed
         │                     └── grey or RGB ── threshold of a sketch ──> (channels, H, W) uint8
         └── network, its condition, its run

Invariant: an adapter sees a picture as it saw the pictures of its training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from stages.errors import ConfigError
from stages.records import Condition, UInt8Array
from train.config import TrainConfig
from train.data.conditions import ConditionsConfig, binarise
from train.exchange.read import LoadedAdapter, read_adapter, run_config
from train.runs.directory import RUN_FILE, RunFile, read_run
from train.sampling.condition_file import read_picture

KINDS = tuple(condition for condition in Condition if condition is not Condition.LATENTS)


@dataclass(frozen=True, slots=True)
class Control:
    """An adapter, what it is shown, and how much its features count."""

    adapter: Path
    """A RUN directory, one of diffusers, or a .pth or .safetensors file."""
    condition: Path
    """A picture."""
    weight: float = 1.0
    kind: Condition | None = None
    """What the adapter was trained on; needed only where its files do not say and it makes a difference."""


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """The run that an adapter came from."""

    file: RunFile
    config: TrainConfig


@dataclass(frozen=True, slots=True)
class OpenedControl:
    """A control whose files are read."""

    control: Control
    adapter: LoadedAdapter
    run: TrainedOn | None
    """None if it is not a run's directory."""
    kind: Condition | None
    condition_chw: UInt8Array
    """As the adapter sees it: 255 is 1."""

    @property
    def size_pixels(self) -> tuple[int, int]:
        """Width and height of the condition picture."""
        height, width = self.condition_chw.shape[1:]
        return width, height


def pair_controls(
    adapters: Sequence[Path], conditions: Sequence[Path], weights: Sequence[float], kinds: Sequence[str]
) -> tuple[Control, ...]:
    """Pair options by their order; `weights` and `kinds` may be left out. Raises ConfigError if the numbers differ."""
    for option, given, needed in (
        ("--condition", conditions, True),
        ("--weight", weights, False),
        ("--condition-kind", kinds, False),
    ):
        if len(given) != len(adapters) and (needed or given):
            raise ConfigError(
                f"{option} must be given as often as --adapter, {len(adapters)} times, got {len(given)}; they are "
                "paired in the order in which they are typed"
            )
    named: Sequence[Condition | None] = [_kind(name) for name in kinds] or [None] * len(adapters)
    counted = weights or [1.0] * len(adapters)
    return tuple(Control(*each) for each in zip(adapters, conditions, counted, named, strict=True))


def open_control(control: Control) -> OpenedControl:
    """Read the adapter and its picture.

    Raises ConfigError if the picture cannot be decoded or the kind is wrong or missing, and what `read_adapter` raises.
    """
    adapter = read_adapter(control.adapter)
    run = _run(control.adapter)
    if control.kind and adapter.condition and control.kind is not adapter.condition:
        raise ConfigError(
            f"--condition-kind must be {adapter.condition}, which {control.adapter} was trained on, got "
            f"{control.kind}; leave it out"
        )
    kind = control.kind or adapter.condition
    picture = read_picture(control.condition, kind)
    if kind is None and adapter.in_channels == 1 and not _is_binary(as_grey(picture)):
        raise ConfigError(
            f"--condition-kind must be given for {control.adapter}, which does not say what it was trained on, because "
            f"{control.condition} has levels of grey; sketch makes them black and white, depth leaves them"
        )
    settings = run.config.conditions if run else ConditionsConfig()
    return OpenedControl(control, adapter, run, kind, as_seen(picture, kind, settings, adapter.in_channels))


def as_seen(picture: UInt8Array, kind: Condition | None, settings: ConditionsConfig, channels: int) -> UInt8Array:
    """Turn a picture into what an adapter of so many channels sees, (channels, height, width).

    A sketch that was trained at random thresholds is cut at `sketch_threshold`, too.
    """
    if kind is Condition.SKETCH and settings.sketch != "soft":
        picture = binarise(as_grey(picture), settings.sketch_threshold)
    elif channels == 1:
        picture = as_grey(picture)
    if picture.ndim == 2:
        return np.repeat(picture[None], channels, axis=0)
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def as_grey(picture: UInt8Array) -> UInt8Array:
    """Pillow's grey of RGB, (height, width); equal levels of red, green and blue stay what they are."""
    return picture if picture.ndim == 2 else np.asarray(Image.fromarray(picture).convert("L"))


def _is_binary(picture_hw: UInt8Array) -> bool:
    return bool(np.isin(picture_hw, (0, 255)).all())


def _run(path: Path) -> TrainedOn | None:
    if not (path / RUN_FILE).is_file():
        return None
    file = read_run(path)
    return TrainedOn(file, run_config(path, file))


def _kind(name: str) -> Condition:
    if name not in KINDS:
        raise ConfigError(f"--condition-kind must be one of {', '.join(KINDS)}, got {name!r}; correct it")
    return Condition(name)
