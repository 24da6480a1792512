"""Canny: the edges of an image by Canny's detector, white on black.

    (H, W, 3) RGB ──gradient, per pixel of the strongest channel──> thin edges ──two thresholds──> (H, W), 0 or 255

The detector sees the colour image, as in ControlNet and controlnet_aux: a grey one loses edges between colours of
equal brightness. Invariant: the picture is `cv2.Canny` of the stored pixels and the two thresholds, nothing else.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from stages.annotators.condition import PLAIN_MIRROR, ConditionSpec, Encoding, Exact, Resize, picture_member
from stages.annotators.edges import edges_or_rejection
from stages.records import Condition, ConditionMembers, LoadedSample, Rejection, UInt8Array
from stages.settings import Settings
from stages.weights.store import WeightsStore

PICTURE = "canny.png"


def canny_map(image_hwc: UInt8Array, low_threshold: float, high_threshold: float) -> UInt8Array:
    """Find the edges of a (height, width, 3) RGB image; returns (height, width), 255 on an edge and 0 elsewhere.

    A pixel whose gradient (the L1 norm of the 3 x 3 Sobel filters) exceeds the high threshold is an edge, and so is one
    that exceeds the low threshold and touches an edge. Source: CannyDetector of huggingface/controlnet_aux 0.0.10.
    """
    import cv2

    return np.asarray(cv2.Canny(image_hwc, low_threshold, high_threshold), np.uint8)


class CannyConfig(Settings):
    """Settings of the canny annotator."""

    condition: ClassVar[Condition] = Condition.CANNY
    algorithm_version: ClassVar[int] = 1

    kind: Literal["canny"] = "canny"
    low_threshold: float = Field(default=100, ge=0, allow_inf_nan=False)
    """Gradient above which a pixel continues an edge (ControlNet's value)."""
    high_threshold: float = Field(default=200, ge=0, allow_inf_nan=False)
    """Gradient above which a pixel starts an edge (ControlNet's value)."""
    min_edges: float = Field(default=0, ge=0, lt=1)
    """Reject an image of whose pixels a smaller share is edge. `condset inspect` counts how many that would be."""

    @model_validator(mode="after")
    def _low_is_below_high(self) -> "CannyConfig":
        # cv2.Canny swaps the two without a word.
        if self.low_threshold >= self.high_threshold:
            raise ValueError(
                f"canny low_threshold must be below high_threshold, {self.high_threshold:g}, "
                f"got {self.low_threshold:g}; lower it"
            )
        return self

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(
            name=self.condition,
            title="thin edges",
            members=(picture_member(PICTURE, Encoding.PNG_GREY, "edges, 8-bit grey: 0 or 255"),),
            shown=PICTURE,
            channels=1,
            mirror=PLAIN_MIRROR,
            resize=Resize.AREA,
            tolerance=Exact(),
            statistics="edges",
            measure="edges",
        )

    @property
    def models(self) -> tuple[tuple[str, str | None], ...]:
        return ()

    def resolved_dtype(self, device: str) -> str:
        return "none"

    def build(self, device: str, weights: WeightsStore) -> "CannyAnnotator":
        return CannyAnnotator(self)


class CannyAnnotator:
    """Makes `<key>.canny.png`."""

    def __init__(self, config: CannyConfig) -> None:
        self._config = config

    def __call__(self, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        low, high = self._config.low_threshold, self._config.high_threshold
        pictures = (canny_map(sample.image_hwc, low, high) for sample in samples)
        return [
            edges_or_rejection(sample.key, PICTURE, picture, self._config.min_edges)
            for sample, picture in zip(samples, pictures, strict=True)
        ]
