"""`verify --deep`: compute every condition again from the stored images, and compare.

    stored image, crop, row of the index ──annotators in the recorded dtypes──> members ──compare──> stored members

A condition is a function of the stored image's bytes and of the annotation carried through the same crop, so whoever
has the shard can check it. Plain code must agree exactly. A network's sums depend on threads and hardware: it must
agree within 1 level on 99.9 % of the pixels, its keypoints within half a pixel, its latents within what rounding in
its dtype does.
"""

import io
import threading
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.config import PrepareConfig
from pipeline.dataset.manifest import Manifest
from pipeline.dataset.numerics import NO_NETWORK, Numerics
from pipeline.dataset.record import ShardRecord
from pipeline.execution.origins import loading_of
from stages.annotators.keypose.skeleton import SCORE_THRESHOLD
from stages.annotators.protocol import Annotator, AnnotatorConfig
from stages.errors import ConfigError, WeightsError
from stages.hardware.cores import usable_cores
from stages.hardware.precision import resolve_device
from stages.image.arrays import read_npy
from stages.image.encode import encode_member
from stages.load import load_labels
from stages.members import load_pixels, read_crop
from stages.records import Condition, IndexRow, Reason, Rejection, StoredSample
from stages.settings import changed
from stages.weights.store import WeightsStore

Numbers: TypeAlias = npt.NDArray[np.float64]

LEVELS = 1
DIFFERING_FRACTION = 0.001
"""Of a network's pixels: so many may be more than `LEVELS` away."""
KEYPOINT_PIXELS = 0.5
KEYPOINT_SCORE = 0.05
LATENT_FRACTIONS = {"float32": 0.001, "float16": 0.01, "bfloat16": 0.05}
"""By dtype, of the root mean square of an image's means, or log variances: so large may that of their distances be.
Measured between 1 thread and 2, and between memory layouts: float32 0.00008, bfloat16 0.02 (Stable Diffusion 1.5's VAE
with random weights, 256 x 256)."""
NPY = b"\x93NUMPY"


class DeepCheck:
    """Holds the data set's annotators as they were when it was made; used from up to `threads` threads.

    Built and used within `configured_process` for the device, as the data set was made.
    """

    def __init__(self, config: PrepareConfig, manifest: Manifest, weights: WeightsStore, device: str) -> None:
        """Load the networks in the recorded dtypes.

        Raises WeightsError if weights are missing or are not those that the data set was made with, and ConfigError if
        a recorded dtype is none of the device's.
        """
        _check_weights(config, manifest, weights)
        self._weights = weights
        self._device = resolve_device(device)
        self._image_format = config.image.format
        self._loading = loading_of(config)
        self._lock = threading.Lock()
        self._built: dict[tuple[str, str], Annotator] = {}
        self._not_compared: list[str] = []
        self._without_labels = 0
        self._first_without_labels = ""
        self._configs = list(self._of_this_version(config, manifest))
        self._needs_labels = any(each.condition is Condition.SEGMENTATION for each in self._configs)
        for annotator in self._configs:
            self._annotator(annotator, manifest.numerics)

    def __call__(self, record: ShardRecord, row: IndexRow, members: Mapping[str, bytes]) -> Iterator[str]:
        """Yield what does not follow from a sample's stored image; its members must be sound in themselves."""
        crop = read_crop(members["json"])
        labels = load_labels(row, self._loading, crop) if self._needs_labels else b""
        if isinstance(labels, Rejection):
            if labels.reason is not Reason.MISSING_LABELS:
                yield f"label map must be usable as it was, got {labels.reason}: {labels.detail}"
                return
            with self._lock:
                self._without_labels += 1
                self._first_without_labels = min(filter(None, (self._first_without_labels, row.label_uri)), default="")
            labels = b""
        stored = StoredSample(row, members["txt"].decode(), members[self._image_format], labels, crop)
        sample = load_pixels(stored)
        for config in self._configs:
            (result,) = self._annotator(config, record.numerics)([sample])
            if not isinstance(result, Rejection):
                for member in result:
                    stored_member, computed = members[member.extension], encode_member(member)
                    dtype = record.numerics.dtypes[config.condition]
                    difference = describe_difference(
                        stored_member, computed, exact=dtype == "none", latent_fraction=LATENT_FRACTIONS.get(dtype, 0)
                    )
                    if difference:
                        yield f"{member.extension} must follow from the stored image, got {difference}"
            elif result.reason is not Reason.MISSING_LABELS or not row.label_uri or labels:
                yield f"{config.condition} must follow from the stored image, got {result.reason}: {result.detail}"

    @property
    def threads(self) -> int:
        """So many shards are best checked beside each other; 0 is one after the other, in the calling thread."""
        return usable_cores() if self._device == "cpu" else 0

    def not_compared(self) -> Iterator[str]:
        """Yield what could not be checked, once everything else has been."""
        yield from self._not_compared
        if self._without_labels:
            root = self._loading.label_base_uri
            where = f"below {root}" if root else "where the index says"
            got = f"none for {self._without_labels} samples, first {self._first_without_labels}"
            yield f"label maps must still be {where}, got {got}; bring them back"

    def _of_this_version(self, config: PrepareConfig, manifest: Manifest) -> Iterator[AnnotatorConfig]:
        """Yield the annotators whose algorithm is still the one that made the data set."""
        versions = {entry.name: entry.algorithm_version for entry in manifest.conditions}
        for annotator in config.annotators:
            made_by = versions.get(annotator.condition, annotator.algorithm_version)
            if made_by == annotator.algorithm_version:
                yield annotator
            else:
                got = f"version {annotator.algorithm_version} in this condset"
                self._not_compared.append(
                    f"{annotator.condition} must be computed by version {made_by} of its algorithm, got {got}; "
                    "use the condset that made the data set"
                )

    def _annotator(self, config: AnnotatorConfig, numerics: Numerics) -> Annotator:
        """The annotator in the dtype that the numerics name, whatever "auto" means on this machine."""
        dtype = numerics.dtypes[config.condition]
        with self._lock:
            if (config.condition, dtype) not in self._built:
                self._built[config.condition, dtype] = self._build(config, dtype)
            return self._built[config.condition, dtype]

    def _build(self, config: AnnotatorConfig, dtype: str) -> Annotator:
        settings = config if dtype == NO_NETWORK else changed(config, dtype=dtype)
        try:
            settings.resolved_dtype(self._device)
        except ConfigError:
            raise ConfigError(
                f"--device must be one that computes {config.condition} in {dtype}, as the data set was made, "
                f"got {self._device}; use --device cuda, or leave out --deep"
            ) from None
        return settings.build(self._device, self._weights)


def _check_weights(config: PrepareConfig, manifest: Manifest, weights: WeightsStore) -> None:
    recorded = {model.name: model.sha256 for entry in manifest.conditions for model in entry.models}
    for name, own_file in (model for annotator in config.annotators for model in annotator.models):
        file = weights.resolve(name, own_file)
        if file.sha256 != recorded.get(name, file.sha256):
            raise WeightsError(
                f"weights of {name} must be those that the data set was made with, sha256 {recorded[name]}, "
                f"got {file.sha256} in {file.path}; put the right file there"
            )


def describe_difference(stored: bytes, computed: bytes, exact: bool, latent_fraction: float = 0.0) -> str:
    """Say how a stored member file differs from the one computed again; empty if it agrees.

    Both are PNG, or .npy of keypoints (float32) or latents (float16). With `exact`, every pixel and number must be
    equal; else within the tolerances of this module, and a keypoint that is too uncertain to be drawn may lie anywhere.
    `latent_fraction` is the tolerance for latents.
    """
    if stored == computed:
        return ""
    before, after = _values(stored), _values(computed)
    if before.shape != after.shape:
        return f"{_shape(before)} instead of {_shape(after)}"
    is_latents = before.dtype == np.float16
    before, after = before.astype(np.float64), after.astype(np.float64)
    distance = np.abs(before - after)
    if is_latents:
        return _describe_latents(before, distance, latent_fraction)
    if computed.startswith(NPY):
        return _describe_keypoints(before, distance, exact)
    pixels = distance.max(axis=2) if distance.ndim == 3 else distance
    limit = 0 if exact else LEVELS
    differing = int(np.count_nonzero(pixels > limit))
    if differing <= (0 if exact else DIFFERING_FRACTION * pixels.size):
        return ""
    return f"{differing} of {pixels.size} pixels more than {limit} levels away, up to {pixels.max():.0f}"


def _describe_keypoints(before: Numbers, distance: Numbers, exact: bool) -> str:
    if exact:
        return f"{np.count_nonzero(distance)} other numbers, up to {distance.max():g} away" if distance.any() else ""
    away = distance.reshape(-1, 3)
    drawn = before.reshape(-1, 3)[:, 2] >= SCORE_THRESHOLD
    pixels = away[drawn, :2].max(initial=0)
    score = away[:, 2].max(initial=0)
    if pixels <= KEYPOINT_PIXELS and score <= KEYPOINT_SCORE:
        return ""
    return f"a keypoint {pixels:g} pixels or a score {score:g} away"


def _describe_latents(before: Numbers, distance: Numbers, fraction: float) -> str:
    """Compare means and log variances, each half in units of its own root mean square."""
    for what, values, away in zip(("mean", "log variance"), np.split(before, 2), np.split(distance, 2), strict=True):
        usual, typical = np.sqrt(np.mean(values**2)), np.sqrt(np.mean(away**2))
        if typical > fraction * usual:
            return f"a {what} typically {typical:.3g} away, where {usual:.3g} is usual"
    return ""


def _shape(values: Numbers) -> str:
    return "x".join(map(str, values.shape))


def _values(content: bytes) -> npt.NDArray[Any]:
    if content.startswith(NPY):
        return read_npy(content)
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)
