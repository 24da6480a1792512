"""`verify --deep`: compute every condition again from the stored images, and compare.

A condition is a function of the stored image's bytes and of the annotation carried through the same crop, so anyone
with the shard can check it. Plain code must agree exactly; a network within 1 level on 99.9 % of the pixels, since its
sums depend on threads and hardware.
"""

import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.config import PrepareConfig
from pipeline.numerics import Numerics
from stages.annotators.protocol import Annotator, AnnotatorConfig
from stages.encode import encode_member
from stages.load import Loading, load_labels
from stages.members import load_pixels, read_crop
from stages.precision import resolve_device
from stages.records import IndexRow, Rejection, StoredSample
from stages.settings import changed
from stages.weights import WeightsStore

LEVELS = 1
DIFFERING_FRACTION = 0.001
KEYPOINT_TOLERANCE = 0.5
"""Pixels, and far above what a score may move."""


class DeepCheck:
    """Holds the data set's annotators, as they were when it was made."""

    def __init__(self, config: PrepareConfig, numerics: Numerics, weights: WeightsStore, device: str) -> None:
        """Load the networks in the recorded dtypes; WeightsError if weights are missing."""
        import torch

        self._device = resolve_device(device)
        self._image_format = config.image.format
        self._loading = Loading(config.source.base_uri, config.source.label_offset, config.image, config.seed)
        torch.set_num_threads(numerics.threads_per_worker)
        self._annotators: list[tuple[AnnotatorConfig, Annotator]] = [
            (each, each.build(self._device, weights))
            for each in (_in_dtype(annotator, numerics) for annotator in config.annotators)
        ]

    def __call__(self, row: IndexRow, members: dict[str, bytes]) -> Iterator[str]:
        """Yield what is wrong with one sample's conditions."""
        crop = read_crop(members["json"])
        labels = load_labels(row, self._loading, crop)
        if isinstance(labels, Rejection):
            yield f"label map cannot be read again: {labels.detail}"
            return
        stored = StoredSample(row, members["txt"].decode(), members[self._image_format], labels, crop)
        sample = load_pixels(stored)
        for config, annotator in self._annotators:
            (result,) = annotator([sample])
            if isinstance(result, Rejection):
                yield f"{config.condition} must be computable again, got rejection {result.reason}: {result.detail}"
                continue
            for member in result:
                difference = _compare(members[member.extension], encode_member(member), exact=not config.models)
                if difference:
                    yield f"{member.extension} must follow from the stored image, got {difference}"


def _in_dtype(annotator: AnnotatorConfig, numerics: Numerics) -> AnnotatorConfig:
    """The annotator in the dtype that the data set was made in, whatever "auto" means on this machine."""
    dtype = numerics.dtypes.get(annotator.condition.value, "none")
    if dtype == "none":
        return annotator
    return changed(annotator, dtype=dtype)


def _compare(stored: bytes, computed: bytes, exact: bool) -> str:
    """Describe how two member files differ; empty if they agree."""
    if stored == computed:
        return ""
    before, after = _pixels(stored), _pixels(computed)
    if before.shape != after.shape:
        return f"shape {before.shape} instead of {after.shape}"
    difference = np.abs(before.astype(np.float64) - after.astype(np.float64))
    if before.dtype == np.float32:
        return (
            ""
            if difference.max(initial=0) <= (0 if exact else KEYPOINT_TOLERANCE)
            else f"values {difference.max():g} away"
        )
    if exact:
        return f"{np.count_nonzero(difference)} differing values" if difference.any() else ""
    fraction = np.count_nonzero(difference > LEVELS) / difference.size
    return f"{fraction:.2%} of the pixels over {LEVELS} level away" if fraction > DIFFERING_FRACTION else ""


def _pixels(content: bytes) -> npt.NDArray[np.generic]:
    if content.startswith(b"\x93NUMPY"):
        return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)
