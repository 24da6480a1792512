"""The pictures that are measured: the real ones, and those drawn with, without and with another's condition.

    sample n: caption, seed + n ──┬── its own condition ──────────────────> pictures/with/<key>.png
                                  ├── the condition of the sample before ─> pictures/shuffled/<key>.png
                                  ├── no adapter ─────────────────────────> pictures/without/<key>.png
                                  └── its stored image ───────────────────> pictures/real/<key>.png

Invariant: a picture that is there is complete, has its caption beside it, and is not drawn again.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from stages.image import decode_stored
from stages.records import Condition, UInt8Array
from train.conditions import ConditionsConfig, decode_condition
from train.data import TrainingSet
from train.diffusion import FrozenDiffusion
from train.guide import as_seen
from train.sampling import sample_pictures, starting_noise
from train.step import adapter_features
from train.writing import writing

if TYPE_CHECKING:
    from torch import Tensor, nn

PICTURES = "pictures"


class Variant(StrEnum):
    """Where the pictures of a data set come from, and the name of that data set."""

    REAL = "real"
    """The stored images: the ceiling."""
    WITH = "with"
    """The adapter with the sample's own condition."""
    SHUFFLED = "shuffled"
    """The adapter with the condition of the sample before it: the floor."""
    WITHOUT = "without"
    """The base model alone."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The first samples of a data set, read when they are needed."""

    data: TrainingSet
    places: tuple[tuple[str, int], ...]
    """Shard and position of each."""

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> tuple[str, dict[str, bytes]]:
        """Key and members of a sample; ShardCorrupt if it is damaged."""
        return self.data.read(*self.places[number])


@dataclass(frozen=True, slots=True)
class Sampler:
    """Draws pictures of one adapter on one base."""

    base: FrozenDiffusion
    adapter: "nn.Module"
    """On the base model's device."""
    channels: int
    """Of the condition, as the adapter takes it."""
    conditions: ConditionsConfig
    seed: int
    steps: int
    guidance: float
    active_share: float


def first_samples(data: TrainingSet, most: int) -> HeldOut:
    """Take the first `most` samples of a data set, or all that it has."""
    places = [(shard.name, position) for shard in data.shards(0) for position in range(shard.samples)]
    return HeldOut(data, tuple(places[:most]))


def draw_missing(sampler: Sampler, held_out: HeldOut, out: Path, drawn: Callable[[int, int], object]) -> None:
    """Write every picture that is not there yet; `drawn` is told how many there are, of how many, after each sample."""
    for number in range(len(held_out)):
        key, members = held_out[number]
        for variant in Variant:
            file = picture_file(out, variant, key)
            if not file.is_file():
                _write(file, _picture(sampler, held_out, number, variant), members["txt"])
        drawn(number + 1, len(held_out))


def picture_file(out: Path, variant: Variant, key: str) -> Path:
    """Name a picture."""
    return out / PICTURES / variant / f"{key}.png"


def condition_of(sampler: Sampler, held_out: HeldOut, number: int) -> UInt8Array:
    """Decode the condition of a sample as the adapter sees it, (channels, height, width)."""
    key, members = held_out[number]
    name = f"{held_out.data.condition.name}.png"
    picture = decode_condition(members[name], f"{held_out.data.directory} sample {key}")
    return as_seen(picture, Condition(held_out.data.condition.name), sampler.conditions, sampler.channels)


def _picture(sampler: Sampler, held_out: HeldOut, number: int, variant: Variant) -> UInt8Array:
    _, members = held_out[number]
    if variant is Variant.REAL:
        return decode_stored(members[held_out.data.image_extension])
    features: Sequence[Tensor] | None = None
    if variant is not Variant.WITHOUT:
        shown = number if variant is Variant.WITH else (number - 1) % len(held_out)
        condition = torch.from_numpy(condition_of(sampler, held_out, shown)[None])
        with torch.no_grad():
            features = adapter_features(sampler.base, sampler.adapter, condition)
    noise = starting_noise(sampler.base, [sampler.seed + number], *held_out.data.size_pixels)
    pictures = sample_pictures(
        sampler.base,
        [members["txt"].decode()],
        noise,
        features,
        sampler.steps,
        sampler.guidance,
        sampler.active_share,
    )
    picture_hwc: UInt8Array = pictures[0]
    return picture_hwc


def _write(file: Path, picture_hwc: UInt8Array, caption: bytes) -> None:
    """Write the caption, then the picture under its name when it is complete."""
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture_hwc)).save(content, "PNG")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".txt").write_bytes(caption)
        partial = file.with_name(f"{file.name}.partial")
        partial.write_bytes(content.getvalue())
        partial.replace(file)
