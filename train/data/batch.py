"""What one visit of a sample sees, and a batch of them, ready for the device.

    global sample index ──order──> (shard, position) ──read, decode, draw──> VisitedSample ──stack──> Batch

Runs on the loader's threads: reading, JPEG, PNG and the random numbers release the interpreter's lock.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.annotators.latents import read_latents
from stages.errors import ShardCorrupt
from stages.image.decode import decode_stored
from stages.records import Condition, UInt8Array
from train.data.conditions import ConditionsConfig, condition_of_visit, decode_condition, is_flipped
from train.data.draws import Draws, ObjectiveConfig, draw
from train.data.mix import MixedOrder
from train.data.order import SampleOrder
from train.data.training_set import Joined, TrainingSet
from train.data.visit import Visit

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image that the VAE has yet to see."""

    image_chw: UInt8Array


@dataclass(frozen=True, slots=True)
class Latents:
    """An image that the VAE has seen."""

    posterior: npt.NDArray[np.float16]
    """(2, channels, height, width): mean and log variance, unscaled."""


@dataclass(frozen=True, slots=True)
class VisitedSample:
    """One sample with everything that was drawn for one visit of it."""

    key: str
    image: Pixels | Latents
    condition_chw: UInt8Array
    draws: Draws


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples stacked; tensors are on the CPU, pinned if they go to a GPU."""

    keys: tuple[str, ...]
    captions: tuple[str, ...]
    timesteps_b: "Tensor"
    noise_bchw: "Tensor"
    posterior_noise_bchw: "Tensor"
    condition_bchw: "Tensor"
    """uint8; the adapter sees it / 255."""
    images_bchw: "Tensor | None"
    """uint8 RGB; None if the posterior was read."""
    posterior_btchw: "Tensor | None"
    """float16, mean and log variance on the second axis; None if the images were read."""


@dataclass(frozen=True, slots=True)
class VisitReader:
    """Reads visits of a run; safe to use from several threads."""

    sets: Sequence[TrainingSet]
    shards: Sequence[Joined]
    order: SampleOrder | MixedOrder
    condition: Condition
    conditions: ConditionsConfig
    objective: ObjectiveConfig
    channels: int
    """Of the condition, as the adapter takes it."""
    latent_shape_chw: tuple[int, int, int]
    timesteps: int
    seed: int

    def __call__(self, index: int) -> VisitedSample:
        """Read and draw for global sample `index`; ShardCorrupt, naming the sample, if it is damaged."""
        visit = Visit(self.seed, index)
        shard, position = self.order.locate(index)
        joined = self.shards[shard]
        data = self.sets[joined.dataset]
        key, members = data.read(joined.name, position)
        where = f"{data.directory / 'shards' / joined.name} sample {key}"
        try:
            captions = json.loads(members["json"])["captions"]
            picture = decode_condition(members[f"{self.condition.value}.png"], where)
            image = self._image(data, members, visit, where)
        except (KeyError, ValueError) as error:
            raise ShardCorrupt(f"{where} must be whole, got {error!r}; run `condset verify {data.directory}`") from None
        return VisitedSample(
            key=key,
            image=image,
            condition_chw=condition_of_visit(picture, self.condition, self.conditions, self.channels, visit),
            draws=draw(self.objective, visit, captions, self.latent_shape_chw, self.timesteps),
        )

    def _image(self, data: TrainingSet, members: Mapping[str, bytes], visit: Visit, where: str) -> Pixels | Latents:
        if data.latents is not None:
            return Latents(np.stack(read_latents(members["latents.npy"], *self.latent_shape_chw)))
        try:
            image_hwc = decode_stored(members[data.image_extension])
        except ShardCorrupt as error:
            raise ShardCorrupt(f"{where} {error}") from None
        if is_flipped(self.conditions, visit):
            image_hwc = image_hwc[:, ::-1]
        return Pixels(np.ascontiguousarray(image_hwc.transpose(2, 0, 1)))


def stack(samples: Sequence[VisitedSample], pin: bool) -> Batch:
    """Stack samples; all of them have images of one size, and either pixels or latents."""
    import torch

    def stacked(arrays: "list[npt.NDArray[np.generic]]") -> "Tensor":
        tensor = torch.from_numpy(np.stack(arrays))
        return tensor.pin_memory() if pin else tensor

    images = [each.image.image_chw for each in samples if isinstance(each.image, Pixels)]
    posteriors = [each.image.posterior for each in samples if isinstance(each.image, Latents)]
    return Batch(
        keys=tuple(each.key for each in samples),
        captions=tuple(each.draws.caption for each in samples),
        timesteps_b=torch.tensor([each.draws.timestep for each in samples]),
        noise_bchw=stacked([each.draws.noise_chw for each in samples]),
        posterior_noise_bchw=stacked([each.draws.posterior_noise_chw for each in samples]),
        condition_bchw=stacked([each.condition_chw for each in samples]),
        images_bchw=stacked([*images]) if images else None,
        posterior_btchw=stacked([*posteriors]) if posteriors else None,
    )
