"""Figures by named protocol: how the papers compared drawn pictures with real ones and with captions.

    protocol_of(name) ──> EvalProtocol ──open_networks──> Networks ──┐
    (drawn picture, real picture, caption) ... ──a few at a time─┴──figures──> FID, CLIP-T, CLIP-I

Invariant: a figure depends on the pictures alone, not on the batches they come in, and memory does not grow with them
but for two numbers each.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

from stages.errors import ConfigError
from stages.hardware.precision import resolve_device
from stages.records import UInt8Array
from stages.weights.store import WeightsStore
from train.fidelity.bootstrap import bootstrap

if TYPE_CHECKING:
    from torch import nn

    from train.fidelity.networks.clip import Clip

BATCH_PICTURES = 16


class FigureName(StrEnum):
    """What can be computed of drawn and real pictures."""

    FID = "FID"
    """Frechet inception distance."""
    CLIP_T = "CLIP-T"
    """Cosine of a drawn picture and its caption."""
    CLIP_I = "CLIP-I"
    """Cosine of a drawn picture and the real one."""


@dataclass(frozen=True, slots=True)
class EvalProtocol:
    """Which figures, of which pictures, by which networks. The held-out data set is the caller's: COCO val2017."""

    name: str
    figures: tuple[FigureName, ...]
    models: tuple[str, ...]
    """In stages.weights.catalogue.MODELS: the feature networks."""
    size_pixels: tuple[int, int] | None
    """Width and height that the pictures must have; None takes any."""
    pictures_per_caption: int

    def check(self, size_pixels: tuple[int, int]) -> None:
        """Refuse pictures of another size, (width, height), with a ConfigError."""
        if self.size_pixels not in (None, size_pixels):
            (width, height), (got_width, got_height) = self.size_pixels or size_pixels, size_pixels
            raise ConfigError(
                f"--protocol {self.name} must have pictures of {width}x{height}, got {got_width}x{got_height}; "
                "take a data set of that size"
            )


PROTOCOLS: Mapping[str, EvalProtocol] = {
    protocol.name: protocol
    for protocol in (
        # T2I-Adapter, arXiv 2302.08453, section 4.2: FID and CLIP score (ViT-L/14) on the 5,000 pictures of COCO's
        # validation set, one drawn for each, 512 x 512. It does not say whose Inception.
        EvalProtocol(
            name="t2i-adapter",
            figures=(FigureName.FID, FigureName.CLIP_T),
            models=("inception_v3_fid", "clip_vit_l14", "clip_tokenizer"),
            size_pixels=(512, 512),
            pictures_per_caption=1,
        ),
        # IP-Adapter, arXiv 2308.06721, section 4.2: the 5,000 pictures of COCO val2017 with captions, four drawn for
        # each, all averaged; CLIP-I and CLIP-T by CLIP ViT-L/14. Its CLIP-T is CLIPScore, 2.5 times the cosine.
        EvalProtocol(
            name="ip-adapter",
            figures=(FigureName.CLIP_T, FigureName.CLIP_I),
            models=("clip_vit_l14", "clip_tokenizer"),
            size_pixels=None,
            pictures_per_caption=4,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A drawn picture, and what it is compared with."""

    drawn_hwc: UInt8Array
    """RGB, as is the real one."""
    real_hwc: UInt8Array
    caption: str


@dataclass(frozen=True, slots=True)
class Networks:
    """What sees the pictures; those that no figure of the protocol needs are None."""

    device: str
    features: "nn.Module | None"
    """Maps (batch, 3, height, width) uint8 to (batch, `num_features`)."""
    clip: "Clip | None"


@dataclass(frozen=True, slots=True)
class ProtocolFigure:
    """One number about all pictures, with the 95 % interval of its mean; FID is no mean and has none.

    `value` is None if the pictures give no finite number.
    """

    name: FigureName
    pictures: int
    value: float | None
    low: float | None = None
    high: float | None = None


def protocol_of(name: str) -> EvalProtocol:
    """Look a protocol up; ConfigError if there is none of this name."""
    if name not in PROTOCOLS:
        raise ConfigError(f"--protocol must be one of {', '.join(PROTOCOLS)}, got {name!r}")
    return PROTOCOLS[name]


def open_networks(protocol: EvalProtocol, weights: WeightsStore, device: str, clip_config: Any = None) -> Networks:
    """Load the feature networks onto a device ("auto", "cpu", "cuda").

    `clip_config`, a CLIPConfig of transformers, describes another CLIP than the published one.
    Raises WeightsError for missing or wrong weights before any is loaded, ConfigError for a device that is not there.
    """
    from train.fidelity.networks import clip, distribution

    device = resolve_device(device)
    files = {name: weights.resolve(name) for name in protocol.models}
    features = None
    if distribution.MODEL in files:
        features = distribution.InceptionFeatures(files[distribution.MODEL]).to(device)
    judge = None
    if clip.MODEL in files:
        judge = clip.open_clip(files[clip.MODEL], files[clip.TOKENIZER], device, clip_config)
    return Networks(device, features, judge)


def figures(
    protocol: EvalProtocol,
    networks: Networks,
    pictures: Iterable[Judged],
    seed: int = 0,
    batch_pictures: int = BATCH_PICTURES,
) -> dict[str, ProtocolFigure]:
    """Compute the protocol's figures, by name; `seed` is the intervals'.

    The pictures of one caption follow each other. Raises ConfigError for pictures of another size or number than the
    protocol's.
    """
    from train.fidelity.networks.distribution import FrechetDistance

    distance = None if networks.features is None else FrechetDistance(networks.features, networks.device)
    cosines: dict[FigureName, list[float]] = {FigureName.CLIP_T: [], FigureName.CLIP_I: []}
    number = 0
    for batch in _batches(protocol, pictures, batch_pictures):
        drawn, real = [each.drawn_hwc for each in batch], [each.real_hwc for each in batch]
        if distance is not None:
            distance.add(drawn, real)
        if networks.clip is not None:
            of_captions, of_pictures = networks.clip.similarities(drawn, real, [each.caption for each in batch])
            cosines[FigureName.CLIP_T] += of_captions
            cosines[FigureName.CLIP_I] += of_pictures
        number += len(batch)
    _check_number(protocol, number)
    found: dict[str, ProtocolFigure] = {}
    for name in protocol.figures:
        if name is FigureName.FID and distance is not None:
            value = distance.value()
            found[name] = ProtocolFigure(name, number, value if math.isfinite(value) else None)
        else:
            found[name] = _mean(name, cosines[name], protocol.pictures_per_caption, seed)
    return found


def _mean(name: FigureName, cosines: Sequence[float], pictures_per_caption: int, seed: int) -> ProtocolFigure:
    """Average over captions: the pictures of one are not independent, so that it is captions that are drawn again."""
    by_caption = [
        sum(cosines[first : first + pictures_per_caption]) / pictures_per_caption
        for first in range(0, len(cosines), pictures_per_caption)
    ]
    if not all(map(math.isfinite, by_caption)):
        return ProtocolFigure(name, len(cosines), None)
    estimate = bootstrap(by_caption, seed, name)
    return ProtocolFigure(name, len(cosines), estimate.mean, estimate.low, estimate.high)


def _batches(protocol: EvalProtocol, pictures: Iterable[Judged], most: int) -> Iterator[list[Judged]]:
    remaining = iter(pictures)
    while batch := list(islice(remaining, most)):
        for each in batch:
            height, width, _ = each.drawn_hwc.shape
            protocol.check((width, height))
        yield batch


def _check_number(protocol: EvalProtocol, number: int) -> None:
    if number == 0 or number % protocol.pictures_per_caption:
        raise ConfigError(
            f"--protocol {protocol.name} must have {protocol.pictures_per_caption} pictures of each caption, got "
            f"{number} in all; draw the others"
        )
