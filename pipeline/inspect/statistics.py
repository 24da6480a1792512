"""Statistics of conditions: what can be said of the edges, depths, persons, colours and labels of a data set.

    members of one sample ──add──> tally ──result──> statistics: plain numbers, one kind for each kind of condition

A tally keeps a few numbers of each sample and no pixels. Everything is computed from the stored files alone.
"""

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from PIL import Image

from pipeline.inspect.distribution import Distribution, distribution
from stages.annotators.edges import edge_share
from stages.image.arrays import read_npy
from stages.records import Condition, Float32Array, UInt8Array

FEW_EDGES = (0.001, 0.005, 0.01, 0.02)
"""Shares of edges under which images are counted: candidates for `min_edges`."""
CATEGORY_IDS = 256


@dataclass(frozen=True, slots=True)
class EdgeStatistics:
    """Of sketch and canny."""

    density: Distribution
    """Share of an image's pixels above `EDGE_LEVEL`."""
    level: Distribution
    """Mean of an image's pixels, 0 to 255."""
    images_below: Mapping[float, int]
    """Images of which a smaller share is edge: what `min_edges` of that much would reject."""


@dataclass(frozen=True, slots=True)
class DepthStatistics:
    """Of depth; levels are 0 to 255, near is bright."""

    minimum: Distribution
    maximum: Distribution
    mean: Distribution
    constant_images: int
    """Images in which every pixel is the same: the network saw no depth."""


@dataclass(frozen=True, slots=True)
class KeyposeStatistics:
    """Of keypose."""

    persons: Distribution
    """In an image."""
    images_by_persons: Mapping[int, int]
    visible_keypoints: Distribution | None
    """Of the 17 of a person, those that score at least the annotator's threshold; None without a person."""


@dataclass(frozen=True, slots=True)
class ColorStatistics:
    """Of color."""

    distinct_colors: Distribution
    """In an image."""


@dataclass(frozen=True, slots=True)
class LabelCount:
    """How much of a data set one category covers."""

    id: int
    name: str
    images: int
    pixel_share: float
    """Of all pixels of all images."""


@dataclass(frozen=True, slots=True)
class SegmentationStatistics:
    """Of segmentation."""

    unlabelled: Distribution
    """Share of an image's pixels that have category id 0."""
    labels: tuple[LabelCount, ...]
    """The categories that occur but for id 0, the one with most pixels first."""


@dataclass(frozen=True, slots=True)
class LatentsStatistics:
    """Of latents, before the model's scaling factor; times it, a deviation is about 1."""

    mean: Distribution
    """Of an image's means."""
    deviation: Distribution
    """The standard deviation of an image's means."""


ConditionStatistics: TypeAlias = (
    EdgeStatistics | DepthStatistics | KeyposeStatistics | ColorStatistics | SegmentationStatistics | LatentsStatistics
)


class Tally(Protocol):
    """Sums up one condition of many samples, at least one."""

    extension: str
    """The member that it looks at."""

    def add(self, members: Mapping[str, bytes]) -> None:
        """Count one sample. Raises KeyError, OSError or ValueError if its member is missing or not readable."""
        ...

    def result(self) -> ConditionStatistics: ...


class EdgeTally:
    def __init__(self, extension: str) -> None:
        self.extension = extension
        self._densities: list[float] = []
        self._levels: list[float] = []

    def add(self, members: Mapping[str, bytes]) -> None:
        pixels = read_picture(members[self.extension])
        self._densities.append(edge_share(pixels))
        self._levels.append(float(pixels.mean()))

    def result(self) -> EdgeStatistics:
        below = {share: sum(density < share for density in self._densities) for share in FEW_EDGES}
        return EdgeStatistics(distribution(self._densities), distribution(self._levels), below)


class DepthTally:
    def __init__(self, extension: str) -> None:
        self.extension = extension
        self._images: list[tuple[int, int, float]] = []

    def add(self, members: Mapping[str, bytes]) -> None:
        pixels = read_picture(members[self.extension])
        self._images.append((int(pixels.min()), int(pixels.max()), float(pixels.mean())))

    def result(self) -> DepthStatistics:
        minima, maxima, means = zip(*self._images, strict=True)
        constant = sum(low == high for low, high, _ in self._images)
        return DepthStatistics(distribution(minima), distribution(maxima), distribution(means), constant)


class KeyposeTally:
    def __init__(self, extension: str, score_threshold: float) -> None:
        self.extension = extension
        self._score_threshold = score_threshold
        self._persons: list[int] = []
        self._visible_keypoints: list[int] = []

    def add(self, members: Mapping[str, bytes]) -> None:
        keypoints = read_keypoints(members[self.extension])
        self._persons.append(len(keypoints))
        self._visible_keypoints += (keypoints[:, :, 2] >= self._score_threshold).sum(axis=1).tolist()

    def result(self) -> KeyposeStatistics:
        return KeyposeStatistics(
            persons=distribution(self._persons),
            images_by_persons=dict(sorted(Counter(self._persons).items())),
            visible_keypoints=distribution(self._visible_keypoints) if self._visible_keypoints else None,
        )


class ColorTally:
    def __init__(self, extension: str) -> None:
        self.extension = extension
        self._distinct: list[int] = []

    def add(self, members: Mapping[str, bytes]) -> None:
        colors = read_picture(members[self.extension]).reshape(-1, 3).astype(np.uint32)
        self._distinct.append(np.unique(colors @ np.array([1, 1 << 8, 1 << 16], np.uint32)).size)

    def result(self) -> ColorStatistics:
        return ColorStatistics(distribution(self._distinct))


class SegmentationTally:
    def __init__(self, extension: str, names: Mapping[int, str]) -> None:
        self.extension = extension
        self._names = names
        self._unlabelled: list[float] = []
        self._pixels = np.zeros(CATEGORY_IDS, np.int64)
        self._images = np.zeros(CATEGORY_IDS, np.int64)

    def add(self, members: Mapping[str, bytes]) -> None:
        counts = np.bincount(read_picture(members[self.extension]).ravel(), minlength=CATEGORY_IDS)
        self._unlabelled.append(float(counts[0] / counts.sum()))
        self._pixels += counts
        self._images += counts > 0

    def result(self) -> SegmentationStatistics:
        shares = self._pixels / self._pixels.sum()
        labels = tuple(
            LabelCount(
                id=category,
                name=self._names.get(category, "(no name)"),
                images=int(self._images[category]),
                pixel_share=float(shares[category]),
            )
            for category in np.argsort(-shares, kind="stable").tolist()
            if category and shares[category]
        )
        return SegmentationStatistics(distribution(self._unlabelled), labels)


class LatentsTally:
    def __init__(self, extension: str) -> None:
        self.extension = extension
        self._means: list[float] = []
        self._deviations: list[float] = []

    def add(self, members: Mapping[str, bytes]) -> None:
        values = read_npy(members[self.extension]).astype(np.float64)
        means, _ = np.split(values, 2)
        self._means.append(float(means.mean()))
        self._deviations.append(float(means.std()))

    def result(self) -> LatentsStatistics:
        return LatentsStatistics(distribution(self._means), distribution(self._deviations))


def tally_for(condition: Condition, score_threshold: float, names: Mapping[int, str]) -> Tally:
    """Return an empty tally for a condition.

    `score_threshold` is what a keypoint must score to be drawn, `names` what category ids are called.
    """
    match condition:
        case Condition.SKETCH | Condition.CANNY:
            return EdgeTally(f"{condition}.png")
        case Condition.DEPTH:
            return DepthTally("depth.png")
        case Condition.KEYPOSE:
            return KeyposeTally("keypoints.npy", score_threshold)
        case Condition.COLOR:
            return ColorTally("color.png")
        case Condition.SEGMENTATION:
            return SegmentationTally("segmentation.png", names)
        case Condition.LATENTS:
            return LatentsTally("latents.npy")


def read_picture(content: bytes) -> UInt8Array:
    """Decode a member: (height, width) grey or category ids, or (height, width, 3) RGB. OSError if it is no picture.

    16-bit grey comes out in the 256 levels of the 8-bit one.
    """
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image)
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else np.asarray(pixels, np.uint8)


def read_keypoints(content: bytes) -> Float32Array:
    """Decode `<key>.keypoints.npy` to (persons, 17, 3): x, y in pixels, score. ValueError if it is something else."""
    return np.asarray(read_npy(content), np.float32).reshape(-1, 17, 3)
