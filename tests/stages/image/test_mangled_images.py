"""504 mangled files of real photographs: each is decoded as Pillow decodes it, or rejected, and nothing is printed."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from stages.image.crop import ImageConfig
from stages.image.decode import decode_image
from stages.records import Reason, Rejection, UInt8Array

CONFIG = ImageConfig()
FILES_PER_MUTATION = 56
ENDS_EARLY = "a JPEG whose end marker comes before its last block"


def _originals(shared: Path) -> list[bytes]:
    """28 files of 28 photographs, reduced to 160 pixels, in seven kinds of encoding."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "condset"
    encodings: list[tuple[str, dict[str, object]]] = [
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 75, "progressive": True, "comment": b"a comment"}),
        ("JPEG", {"quality": 90, "exif": exif, "restart_marker_rows": 2}),
        ("PNG", {"exif": exif}),
        ("WEBP", {"quality": 80, "exif": exif}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
    ]
    files = []
    for number, path in enumerate(sorted((shared / "data" / "coco17").glob("*2017/*.jpg"))[:28]):
        format_name, settings = encodings[number % len(encodings)]
        with Image.open(path) as image:
            image.thumbnail((160, 160))
            file = io.BytesIO()
            image.convert("RGB").save(file, format_name, **settings)
        files.append(file.getvalue())
    return files


def _truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(1, len(data))]


def _truncate_and_close(data: bytes, rng: np.random.Generator) -> bytes:
    end = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"\0\0\0\0IEND\xaeB`\x82", b"GI": b"\0;", b"RI": b""}[data[:2]]
    return _truncate(data, rng) + end


def _flip_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    mangled = bytearray(data)
    for position in rng.integers(0, len(data), rng.integers(1, 20)):
        mangled[position] ^= int(rng.integers(1, 256))
    return bytes(mangled)


def _flip_header_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    header = min(len(data), 300)
    return data[:4] + _flip_bytes(data[4:header], rng) + data[header:]


def _splice(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = sorted(rng.integers(0, len(data), 2))
    return data[:start] + data[end:]


def _zero_run(data: bytes, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 500))
    return data[:start] + bytes(len(data[start : start + length])) + data[start + length :]


def _duplicate(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = sorted(rng.integers(0, len(data), 2))
    return data[:end] + data[start:]


def _prepend_junk(data: bytes, rng: np.random.Generator) -> bytes:
    return rng.bytes(int(rng.integers(1, 50))) + data


def _cut_header(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(2, 20))
    return data[:start] + data[start + int(rng.integers(1, 200)) :]


Mutation = Callable[[bytes, np.random.Generator], bytes]
MUTATIONS: list[Mutation] = [
    _truncate,
    _truncate_and_close,
    _flip_bytes,
    _flip_header_bytes,
    _splice,
    _zero_run,
    _duplicate,
    _prepend_junk,
    _cut_header,
]


def _pillows_pixels(data: bytes) -> UInt8Array | None:
    """Decode by Pillow's public functions alone; None if they fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP", "GIF")) as image:
                image.load()
                try:
                    upright = ImageOps.exif_transpose(image)
                except Exception:  # noqa: BLE001  broken EXIF data of any kind counts as none
                    upright = image.copy()
                if upright.has_transparency_data:
                    canvas = Image.new("RGBA", upright.size, (255, 255, 255, 255))
                    canvas.alpha_composite(upright.convert("RGBA"))
                    upright = canvas
                return np.array(upright.convert("RGB"))
        except Exception:  # noqa: BLE001  whatever Pillow raises, there are no pixels
            return None


@pytest.fixture(scope="module")
def originals(shared: Path) -> list[bytes]:
    return _originals(shared)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mangled_photograph_is_decoded_as_pillow_decodes_it_or_rejected(
    mutation: Mutation, originals: list[bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(MUTATIONS.index(mutation))
    for number in range(FILES_PER_MUTATION):
        data = mutation(originals[number % len(originals)], rng)
        result = decode_image("key", data, CONFIG)
        expected = _pillows_pixels(data)
        if isinstance(result, Rejection):
            assert expected is None or result.detail == ENDS_EARLY or result.reason is Reason.TOO_MANY_PIXELS, number
            assert result.detail.isprintable(), number
        else:
            assert expected is not None, number
            np.testing.assert_array_equal(result, expected, err_msg=str(number))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("mutation", [_truncate, _truncate_and_close])
def test_a_truncated_photograph_is_whole_or_rejected(mutation: Mutation, originals: list[bytes]) -> None:
    rng = np.random.default_rng(99)
    rejected = 0
    for number in range(FILES_PER_MUTATION):
        original = originals[number % len(originals)]
        if mutation is _truncate_and_close and number % 7 == 1:
            continue  # a progressive JPEG: closed in a later scan it lacks detail, which Pillow cannot say
        result = decode_image("key", mutation(original, rng), CONFIG)
        if isinstance(result, Rejection):
            rejected += 1
        else:
            np.testing.assert_array_equal(result, decode_image("key", original, CONFIG), err_msg=str(number))
    assert rejected > FILES_PER_MUTATION / 2


def test_every_original_is_accepted(originals: list[bytes]) -> None:
    for data in originals:
        np.testing.assert_array_equal(decode_image("key", data, CONFIG), _pillows_pixels(data))
