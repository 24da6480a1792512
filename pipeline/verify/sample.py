"""Check the members of one sample: which there are, that each decodes to what the format says, that they agree.

    members ──┬─ jpg, <condition>.png ── file format, mode, size, pixels; segmentation: palette and labels
              ├─ keypoints.npy ───────── flat float32, whole persons, finite
              ├─ latents.npy ─────────── flat float16, whole maps, finite, log variances within the clamp
              └─ json, txt ───────────── types of the fields, crop, caption; what the index says of the sample

Nothing here runs a network or reads the source. The invariant: whatever the bytes, what is wrong with them is said in
words and nothing is raised.
"""

import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from pipeline.config import PrepareConfig
from stages.annotators.depth.annotator import DepthConfig
from stages.annotators.latents import ARRAY as LATENTS
from stages.annotators.latents import HIGHEST_LOG_VARIANCE, LOWEST_LOG_VARIANCE
from stages.annotators.segmentation.palette import palette
from stages.captions import choose_caption
from stages.image.crop import plan_crop
from stages.image.pillow_warnings import pillow_warnings_ignored
from stages.members import describe_sample, read_crop
from stages.randomness import random_for
from stages.records import FACTS, Condition, IndexRow, StoredSample

FLOATS_PER_PERSON = 17 * 3
SIZE_MULTIPLE_PIXELS = 64
"""Of images, and so a multiple of any stride of a VAE."""
PALETTE = palette()

MODES = {
    f"{Condition.SKETCH}.png": "L",
    f"{Condition.DEPTH}.png": "L",
    f"{Condition.CANNY}.png": "L",
    f"{Condition.KEYPOSE}.png": "RGB",
    f"{Condition.COLOR}.png": "RGB",
    f"{Condition.SEGMENTATION}.png": "P",
}
"""Pillow's mode of each condition's picture: 8-bit grey, colours, or category ids with a palette."""


def _is_count(value: object) -> bool:
    return type(value) is int and 0 < value < 2**31


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_text_or_number(value: object) -> bool:
    return _is_text(value) or (type(value) is int and -(2**63) <= value < 2**63)


def _is_finite_float(value: object) -> bool:
    return type(value) is float and math.isfinite(value)


def _are_captions(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_text(each) and each.strip() for each in value)


def _is_box(value: object) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_finite_float, value))


def _are_scores(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_is_finite_float, value.values()))


REQUIRED_FIELDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "captions": (_are_captions, "a list of at least one text, none of them empty"),
    "crop_box": (_is_box, "four floats"),
    "height": (_is_count, "a whole number above 0"),
    "license": (_is_text, "text"),
    "original_height": (_is_count, "a whole number above 0"),
    "original_width": (_is_count, "a whole number above 0"),
    "source": (_is_text, "text"),
    "source_url": (_is_text, "text"),
    "width": (_is_count, "a whole number above 0"),
}
FIELDS = {
    **REQUIRED_FIELDS,
    **dict.fromkeys(FACTS, (_is_text_or_number, "text or a whole number of 64 bits")),
    "scores": (_are_scores, "floats by name"),
}
"""Of `<key>.json`: the test that a value must pass, and what it asks for."""


@dataclass(frozen=True, slots=True)
class SampleCheck:
    """What every sample of a data set or a layer is held against; may be called from several threads."""

    config: PrepareConfig
    labels: frozenset[int]
    """The category ids that dataset.json names; if it names none, any may be there."""
    is_layer: bool
    """A layer's samples have conditions only: image and texts are in the data set below."""

    def __call__(self, key: str, members: Mapping[str, bytes], row: IndexRow | None) -> Iterator[str]:
        """Yield what is wrong with a sample; without its row of the index, only what its own members show."""
        conditions = [extension for each in self.config.annotators for extension in each.spec.extensions]
        expected = {*conditions} if self.is_layer else {self.config.image.format, "json", "txt", *conditions}
        if members.keys() != expected:
            lacks, foreign = sorted(expected - members.keys()), sorted(members.keys() - expected)
            got = [f"no {', '.join(lacks)}"] * bool(lacks) + [f"a foreign {', '.join(foreign)}"] * bool(foreign)
            yield f"members must be {', '.join(sorted(expected))}, got {' and '.join(got)}"
        for extension in sorted(expected & members.keys()):
            if extension == self.config.image.format:
                image_format = "JPEG" if extension == "jpg" else "PNG"
                yield from self._check_picture(extension, members[extension], image_format, "RGB")
            elif extension.endswith(".png"):
                yield from self._check_picture(extension, members[extension], "PNG", self._mode_of(extension))
            elif extension.endswith(".npy"):
                yield from self._check_array(extension, members[extension])
        if {"json", "txt"} <= expected & members.keys():
            yield from self._check_texts(key, members["json"], members["txt"], row)

    def _mode_of(self, extension: str) -> str:
        has_16_bits = any(isinstance(each, DepthConfig) and each.bits == 16 for each in self.config.annotators)
        return "I;16" if has_16_bits and extension == f"{Condition.DEPTH}.png" else MODES[extension]

    def _check_picture(self, extension: str, content: bytes, image_format: str, mode: str) -> Iterator[str]:
        width, height = self.config.image.size_pixels
        expected = f"a {image_format} of {width}x{height} pixels in mode {mode}"
        picture = _decode(content, expected)
        if isinstance(picture, str):
            yield f"{extension} must be {expected}, got {picture}"
        elif picture.mode == "P":
            yield from self._check_labels(extension, picture)

    def _check_array(self, extension: str, content: bytes) -> Iterator[str]:
        if extension != LATENTS:
            values = _read_array(content, "float32", FLOATS_PER_PERSON, may_be_empty=True)
            if isinstance(values, str):
                yield f"{extension} must be {values}"
            return
        width, height = self.config.image.size_pixels
        least = 2 * (width // SIZE_MULTIPLE_PIXELS) * (height // SIZE_MULTIPLE_PIXELS)
        values = _read_array(content, "float16", least, may_be_empty=False)
        if isinstance(values, str):
            yield f"{extension} must be {values}"
            return
        log_variance = values[values.size // 2 :]
        if log_variance.min() < LOWEST_LOG_VARIANCE or log_variance.max() > HIGHEST_LOG_VARIANCE:
            yield (
                f"{extension} log variances must be {LOWEST_LOG_VARIANCE:g} to {HIGHEST_LOG_VARIANCE:g}, "
                f"got {log_variance.min():g} to {log_variance.max():g}"
            )

    def _check_labels(self, extension: str, image: Image.Image) -> Iterator[str]:
        if bytes(image.getpalette() or b"") != PALETTE:
            yield f"{extension} palette must be the one of T2I-Adapter, got another one"
        there = {label for label, pixels in enumerate(image.histogram()) if pixels}
        unknown = sorted(there - self.labels - {0}) if self.labels else []
        if unknown:
            yield f"{extension} must hold 0 and the labels of dataset.json, got {', '.join(map(str, unknown))}"

    def _check_texts(self, key: str, description: bytes, caption: bytes, row: IndexRow | None) -> Iterator[str]:
        try:
            fields = json.loads(description, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            yield f"json must be JSON, got {error}"
            return
        problems = list(_check_types(fields)) or list(self._check_facts(key, fields, description, row))
        yield from problems
        if problems:
            return
        captions = fields["captions"]
        text = caption.decode(errors="backslashreplace")
        if text not in captions:
            yield f"txt must be one of the captions in json, got {text[:60]!r}"
        elif row and text != choose_caption(captions, self.config.seed, key):
            yield f"txt must be the caption that seed {self.config.seed} chooses for this key, got {text[:60]!r}"

    def _check_facts(
        self, key: str, fields: Mapping[str, object], description: bytes, row: IndexRow | None
    ) -> Iterator[str]:
        """Compare the fields with what they follow from: the crop from the settings, the rest from the index."""
        config, crop = self.config, read_crop(description)
        rng = random_for(config.seed, "crop", key)
        planned = plan_crop(crop.original_width, crop.original_height, config.image, rng)
        original = f"{crop.original_width}x{crop.original_height}"
        if crop != planned:
            size = f"{planned.stored_width}x{planned.stored_height}"
            got = f"{crop.box} at {crop.stored_width}x{crop.stored_height}"
            yield f"json crop_box of a {original} original must be {planned.box}, stored at {size}, got {got}"
        if row is None:
            return
        if (
            row.keypoints.size
            and row.width
            and row.height
            and (row.width, row.height) != (crop.original_width, crop.original_height)
        ):
            yield f"json original size must be the index's {row.width}x{row.height}, got {original}"
        stored = StoredSample(row, "", b"", b"", crop)
        expected = json.loads(describe_sample(stored, f"{config.source.kind}/{config.source.split}"))
        for name in sorted(expected.keys() | fields.keys()):
            if expected.get(name) != fields.get(name):
                wanted, got = (_shown(each[name]) if name in each else "none" for each in (expected, fields))
                yield f"json {name} must be {wanted} by the index, got {got}"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name}, which is no JSON")


def _check_types(fields: object) -> Iterator[str]:
    if not isinstance(fields, dict):
        yield f"json must be an object, got {_shown(fields)}"
        return
    for name in sorted(fields.keys() - FIELDS.keys()):
        yield f"json must have the format's fields, got a foreign {_shown(name)}"
    for name, (is_right, expected) in FIELDS.items():
        if name in REQUIRED_FIELDS and name not in fields:
            yield f"json must have a field {name}, got none"
        elif name in fields and not is_right(fields[name]):
            yield f"json {name} must be {expected}, got {_shown(fields[name])}"


def _shown(value: object) -> str:
    return repr(value)[:60]


_END_OF_FILE = {JpegImageFile: b"\xff\xd9", PngImageFile: b"IEND\xaeB`\x82"}


def _decode(content: bytes, expected: str) -> Image.Image | str:
    """Decode a picture that its header shows to be `expected`; else describe what it is."""
    opener = JpegImageFile if content.startswith(b"\xff\xd8\xff") else PngImageFile
    try:
        with pillow_warnings_ignored():
            image = opener(io.BytesIO(content))
            found = f"a {image.format} of {image.width}x{image.height} pixels in mode {image.mode}"
            if found != expected:  # not decoded: it may claim any number of pixels
                return found
            image.verify()  # the checksums of a PNG, which loading does not look at; it closes the file
            image = opener(io.BytesIO(content))
            image.load()
            return image if content.endswith(_END_OF_FILE[opener]) else f"{found} that goes on behind its end"
    except Exception as error:  # noqa: BLE001  no list of what Pillow raises is whole, as stages/image/decode.py found
        return f"{len(content)} bytes that cannot be decoded ({type(error).__name__}: {error})"


def _read_array(content: bytes, dtype: str, multiple: int, may_be_empty: bool) -> npt.NDArray[np.floating] | str:
    """Read a flat array of finite numbers; or say what it must be, and what it is."""
    expected = f"flat {dtype}, a multiple of {multiple} long"
    file = io.BytesIO(content)
    try:
        values: npt.NDArray[np.floating] = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # noqa: BLE001  NumPy evaluates the header as Python: its parser raises what it likes
        return f"{expected}, got {len(content)} bytes that cannot be read ({error})"
    trailing = len(content) - file.tell()
    is_whole = values.size % multiple == 0 and (may_be_empty or values.size > 0)
    if values.dtype != np.dtype(dtype).newbyteorder("<") or values.ndim != 1 or not is_whole or trailing:
        shape = "x".join(map(str, values.shape))
        return f"{expected}, got {shape} of {values.dtype}" + f" and {trailing} bytes more" * bool(trailing)
    if not np.isfinite(values).all():
        position = int(np.flatnonzero(~np.isfinite(values))[0])
        return f"finite, got {values[position]} at position {position}"
    return values
