"""One sample as a reader sees it: the bytes of its files, decoded when they are asked for.

sample.key, sample.caption, sample.image(), sample.condition("sketch"), sample.files["sketch.png"]
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.annotators.condition import ConditionSpec, Encoding
from stages.image.arrays import read_npy
from stages.image.decode import decode_stored
from stages.members import read_crop
from stages.records import Crop, UInt8Array

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """A sample of a data set, with what its layers add."""

    key: str
    shard: str
    """The name of the shard that it lies in."""
    files: Mapping[str, bytes] = field(repr=False)
    """Extension to the content of `<key>.<extension>`."""
    image_format: str
    specs: Mapping[str, ConditionSpec] = field(repr=False)
    """Of the conditions of the data set and its layers; a layer may have rejected this sample."""

    @property
    def caption(self) -> str:
        """The one caption of `<key>.txt`."""
        return self.files["txt"].decode()

    @property
    def captions(self) -> tuple[str, ...]:
        """All captions that the source has for the image."""
        return tuple(self.description["captions"])

    @property
    def license(self) -> str:
        """Of the photograph, as the source states it."""
        return str(self.description["license"])

    @property
    def source_url(self) -> str:
        """Where the image was published; empty if the source does not say."""
        return str(self.description["source_url"])

    @property
    def scores(self) -> Mapping[str, float]:
        """What the source measured of the pair; -1 is not measured."""
        return dict(self.description.get("scores", {}))

    @property
    def crop(self) -> Crop:
        """How the image was cut out of the original."""
        return read_crop(self.files["json"])

    @cached_property
    def description(self) -> Mapping[str, Any]:
        """`<key>.json` as a whole."""
        fields: dict[str, Any] = json.loads(self.files["json"])
        return fields

    def image(self) -> UInt8Array:
        """Decode the image: (height, width, 3) RGB, read-only."""
        return decode_stored(self.files[self.image_format])

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of the conditions that this sample has."""
        return tuple(name for name, spec in self.specs.items() if all(each in self.files for each in spec.extensions))

    def condition(self, name: str, extension: str | None = None) -> npt.NDArray[Any]:
        """Decode a condition's picture, or the member of an extension.

        Grey: (height, width) of 8 or 16 bits; RGB: (height, width, 3); labels: (height, width) category ids; arrays:
        flat, as they are stored. Raises KeyError, naming what there is, if the sample does not have it.
        """
        if name not in self.conditions:
            raise KeyError(f"sample {self.key} has the conditions {', '.join(self.conditions)}; it has no {name}")
        spec = self.specs[name]
        wanted = extension or spec.shown or spec.extensions[0]
        member = next(each for each in spec.members if each.extension == wanted)
        return decode_member(self.files[wanted], member.encoding)

    def picture(self, name: str) -> npt.NDArray[Any]:
        """Decode a condition's picture for the eye: as `condition` does, but labels in the colours of their palette."""
        labels = self.condition(name)
        spec = self.specs[name]
        member = next(each for each in spec.members if each.extension == spec.shown)
        if member.encoding is not Encoding.PNG_INDEXED:
            return labels
        with Image.open(io.BytesIO(self.files[spec.shown])) as picture:
            return np.asarray(picture.convert("RGB"))


class TorchItem(TypedDict):
    """A sample as torch's DataLoader collates it."""

    image: "Tensor"
    """(3, height, width) float32 in [0, 1], RGB."""
    condition: "Tensor"
    """(1 or 3, height, width) float32 in [0, 1]; labels in the colours of their palette."""
    caption: str


def torch_item(sample: Sample, condition: str) -> TorchItem:
    """Decode a sample into tensors; KeyError if it does not have the condition."""
    return {
        "image": _as_tensor(sample.image()),
        "condition": _as_tensor(sample.picture(condition)),
        "caption": sample.caption,
    }


def _as_tensor(pixels: npt.NDArray[Any]) -> "Tensor":
    import torch

    scaled = pixels.astype(np.float32) / np.iinfo(pixels.dtype).max
    return torch.from_numpy(scaled[None] if scaled.ndim == 2 else np.ascontiguousarray(scaled.transpose(2, 0, 1)))


def decode_member(content: bytes, encoding: Encoding) -> npt.NDArray[Any]:
    """Decode a member file by its encoding, as `Sample.condition` describes it."""
    if encoding is Encoding.NPY:
        return read_npy(content)
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture)
