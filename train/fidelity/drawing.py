"""Drawing as the work of a shard's worker: to the pipeline it is an annotator whose members are the drawn pictures.

    Drawing ──build(device)──> Painter: base and adapters ──(held-out samples)──> real.png, with.png, shuffled.png, ...

Invariant: on a CPU a picture does not depend on what else is drawn; on a GPU it depends on that only by the batch size,
which is part of the numerics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from stages.annotators.condition import (
    NETWORK_TOLERANCE,
    ConditionSpec,
    Encoding,
    Mirror,
    MirrorKind,
    Resize,
    picture_member,
)
from stages.errors import ConfigError
from stages.hardware.precision import Dtype, ResolvedDtype, resolve_dtype
from stages.records import ConditionMembers, ImageMember, LoadedSample, Rejection, UInt8Array
from stages.weights.store import WeightsStore
from train.adapters.features import adapter_features
from train.adapters.spatial import compose
from train.base.config import AnyDiffusion
from train.base.load import load_base
from train.base.protocol import FrozenDiffusion
from train.fidelity.adapters import AdapterFile
from train.fidelity.held_out import HeldOutConfig
from train.fidelity.variants import REAL, Variant
from train.sampling.denoise import sample_pictures, starting_noise
from train.sampling.settings import SamplerSettings

if TYPE_CHECKING:
    from torch import Tensor, nn


class DrawnMember(StrEnum):
    """What a painter makes; no condition of a data set, so no configuration can ask for it."""

    PICTURES = "pictures"


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn of each sample, and how: the `AnnotatorConfig` of a painter."""

    condition: ClassVar[Any] = DrawnMember.PICTURES
    algorithm_version: ClassVar[int] = 1

    held_out: HeldOutConfig
    adapters: tuple[AdapterFile, ...]
    diffusion: AnyDiffusion
    base: str
    """Its identity: the sha256 of its UNet."""
    variants: tuple[Variant, ...]
    sampler: SamplerSettings
    dtype: Dtype

    @property
    def kind(self) -> str:
        return DrawnMember.PICTURES

    @property
    def spec(self) -> ConditionSpec:
        """The pictures of every variant, as if they were a condition of the sample."""
        extensions = sorted(member_of(variant) for variant in self.variants)
        return ConditionSpec(
            name=self.kind,
            title="drawn pictures",
            members=tuple(picture_member(each, Encoding.PNG_RGB, "a drawn picture, RGB") for each in extensions),
            shown="",
            channels=0,
            mirror=Mirror(MirrorKind.IMPOSSIBLE),
            resize=Resize.AREA,
            tolerance=NETWORK_TOLERANCE,
        )

    @property
    def models(self) -> tuple[tuple[str, str | None], ...]:
        """None of the registry's: base and adapters are bound by their hashes."""
        return ()

    def resolved_dtype(self, device: str) -> ResolvedDtype:
        return resolve_dtype(self.dtype, device)

    def build(self, device: str, weights: WeightsStore) -> "Painter":
        """Load base and adapters; ConfigError or CheckpointError if one is not what it was on the driver."""
        base = load_base(self.diffusion, device, self.resolved_dtype(device))
        if base.identity != self.base:
            raise ConfigError(
                f"the base model of a worker must be the driver's, {self.base[:12]}, got {base.identity[:12]}; "
                "give --base a directory that is the same on every node"
            )
        modules = [adapter.open().to(base.device).to(memory_format=torch.channels_last) for adapter in self.adapters]
        return Painter(self, base, modules)


class Painter:
    """Draws every variant of held-out samples."""

    def __init__(self, drawing: Drawing, base: FrozenDiffusion, modules: "Sequence[nn.Module]") -> None:
        """Take the networks, which are on the base model's device, in the order of the drawing's adapters."""
        self._drawing = drawing
        self._base = base
        self._modules = modules
        self._held_out = drawing.held_out.open()
        self._numbers = {self._held_out.picture_key(number): number for number in range(self._held_out.pictures)}

    def __call__(self, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        """Draw a batch; the pictures of a sample are members named for the variants."""
        drawn = {variant.name: self._draw(variant, samples) for variant in self._drawing.variants}
        return [
            tuple(ImageMember(member_of(variant), drawn[variant.name][position]) for variant in self._drawing.variants)
            for position in range(len(samples))
        ]

    def _draw(self, variant: Variant, samples: Sequence[LoadedSample]) -> Sequence[UInt8Array]:
        if variant.name == REAL:
            return [sample.image_hwc for sample in samples]
        drawing, pictures = self._drawing, [self._numbers[sample.key] for sample in samples]
        seeds = [drawing.sampler.seed + each for each in pictures]
        noise = starting_noise(self._base, seeds, *self._held_out.size_pixels)
        drawn_bhwc = sample_pictures(
            self._base,
            [sample.stored.caption for sample in samples],
            noise,
            self._features(variant, pictures),
            drawing.sampler,
            names=[f"{each.key}, {variant.name}, seed {seed}" for each, seed in zip(samples, seeds, strict=True)],
        )
        return list(drawn_bhwc)

    def _features(self, variant: Variant, pictures: Sequence[int]) -> "Sequence[Tensor] | None":
        """Run the adapters on what each picture's sample, or another, shows them, and add what they give by weight."""
        shown = [(self._held_out.sample_of(each) - variant.samples_back) % self._held_out.samples for each in pictures]
        features, weights = [], []
        for adapter, module, weight in zip(self._drawing.adapters, self._modules, variant.weights, strict=False):
            if weight:
                conditions_bchw = torch.from_numpy(np.stack([adapter.sees(self._held_out, each) for each in shown]))
                with torch.no_grad():
                    features.append(adapter_features(self._base, module, conditions_bchw))
                weights.append(weight)
        return compose(features, weights) if features else None


def member_of(variant: Variant) -> str:
    """Name the member that holds a variant's picture."""
    return f"{variant.name}.png"
