"""Preview pictures: what the adapter does, for a few fixed samples and seeds.

condition | without adapter | with adapter | another seed     with the same caption
                    └── the same starting noise ──┘
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stages.records import UInt8Array
from train.adapters.features import adapter_features
from train.base.protocol import FrozenDiffusion
from train.data.batch import Batch, VisitReader, stack
from train.sampling.denoise import sample_pictures, starting_noise
from train.sampling.grid import GridRow, draw_grid
from train.sampling.settings import SamplerSettings

if TYPE_CHECKING:
    Adapter = Callable[[Tensor], Sequence[Tensor]]

PREVIEWS = "previews"


def draw_preview(
    base: FrozenDiffusion,
    adapter: "Adapter",
    read: VisitReader,
    samples: int,
    sampler: SamplerSettings,
    seeds: int = 1,
) -> Image.Image:
    """Draw the first `samples` visits of `read`, with the adapter from `seeds` noises.

    With s the sampler's seed, picture n starts from s + n, s + n + `samples`, ...; the one without adapter from s + n.
    Raises NonFinitePicture if one of them is not made of numbers.
    """
    batch = stack([read(index) for index in range(samples)], pin=False)
    height, width = batch.condition_bchw.shape[-2:]
    firsts = [sampler.seed + turn * samples for turn in range(seeds)]
    noises = [starting_noise(base, range(first, first + samples), width, height) for first in firsts]
    with torch.no_grad():
        features = adapter_features(base, adapter, batch.condition_bchw)
    without = sample_pictures(base, batch.captions, noises[0], None, sampler, names=_names(batch, firsts[0]))
    steered = [
        sample_pictures(base, batch.captions, noise, features, sampler, names=_names(batch, first))
        for noise, first in zip(noises, firsts, strict=True)
    ]
    rows = [
        GridRow(
            (_rgb(batch.condition_bchw[number].numpy()), without[number], *(each[number] for each in steered)), caption
        )
        for number, caption in enumerate(batch.captions)
    ]
    others = ["another seed" for _ in range(seeds - 1)]
    return draw_grid(("condition", "without adapter", "with adapter", *others), rows)


def _names(batch: Batch, first_seed: int) -> list[str]:
    return [f"sample {key} from seed {first_seed + number}" for number, key in enumerate(batch.keys)]


def _rgb(condition_chw: UInt8Array) -> UInt8Array:
    picture = condition_chw.transpose(1, 2, 0)
    return picture if picture.shape[2] == 3 else np.repeat(picture, 3, axis=2)
