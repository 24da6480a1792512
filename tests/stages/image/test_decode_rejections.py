"""A file that cannot become a stored image is a rejection with the reason that fits, and never half an image."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from stages.image.crop import ImageConfig
from stages.image.decode import decode_image
from stages.records import Reason, Rejection

CONFIG = ImageConfig()


def _picture(width: int = 48, height: int = 32) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8))


def _file(image: Image.Image, format_name: str, **settings: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **settings)
    return file.getvalue()


def _png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start_of_data = struct.pack(">I", 100) + b"IDAT"
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + start_of_data


def _rejection(data: bytes, config: ImageConfig = CONFIG) -> Rejection:
    result = decode_image("key", data, config)
    assert isinstance(result, Rejection)
    assert result.key == "key"
    assert result.detail.isprintable()
    assert decode_image("key", data, config) == result, "a record must not change from run to run"
    return result


def test_an_empty_file_is_rejected_as_such() -> None:
    assert _rejection(b"").reason is Reason.EMPTY_FILE


@pytest.mark.parametrize("format_name", ["BMP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF"])
def test_another_image_format_is_named(format_name: str) -> None:
    rejection = _rejection(_file(_picture(), format_name))
    assert rejection.reason is Reason.UNSUPPORTED_FORMAT
    assert rejection.detail == f"expected JPEG, PNG, WebP or GIF, got {format_name}"


@pytest.mark.parametrize("data", [b"<!DOCTYPE html>\n<html>", b"\x00", b"not found", b"\xff\xd8\xff" + b"x" * 50])
def test_what_is_no_image_is_rejected(data: bytes) -> None:
    assert _rejection(data).reason in (Reason.NOT_AN_IMAGE, Reason.TRUNCATED)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\n<!DOCTYPE html>\n\xff<html>" + b" " * 500, "a web page"),
        (b'{"error": "secret"}', "JSON"),
        (b"root:x:0:0:root:/root:/bin/bash\n", "text"),
        ("Schlüssel\n".encode() * 200, "text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b"PK\x03\x04secret", "a zip"),
        (b"secret\xff\xfe\x00", "no known kind"),
        (bytes(2000), "no known kind"),
    ],
)
def test_the_detail_says_what_lies_in_an_images_place_and_quotes_nothing_of_it(data: bytes, kind: str) -> None:
    rejection = _rejection(data)
    assert rejection.reason is Reason.NOT_AN_IMAGE
    assert rejection.detail == f"expected JPEG, PNG, WebP or GIF, got {len(data)} bytes of {kind}"


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_half_a_file_is_rejected_as_truncated(format_name: str, share: float) -> None:
    data = _file(_picture(200, 160), format_name)
    assert _rejection(data[: int(len(data) * share)]).reason is Reason.TRUNCATED


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_half_a_jpeg_that_was_closed_with_an_end_marker_is_rejected_as_truncated(mode: str) -> None:
    data = _file(_picture(200, 160).convert(mode), "JPEG")
    closed = data[: len(data) * 2 // 3] + b"\xff\xd9"
    with Image.open(io.BytesIO(closed)) as image:
        image.load()  # Pillow does not notice
    rejection = _rejection(closed)
    assert rejection.reason is Reason.TRUNCATED
    assert rejection.detail == "a JPEG whose end marker comes before its last block"


def test_a_progressive_jpeg_that_was_closed_in_its_first_scan_is_rejected_as_truncated() -> None:
    data = _file(_picture(200, 160), "JPEG", progressive=True, quality=95)
    first_scan = data.index(b"\xff\xda")
    second_scan = data.index(b"\xff\xda", first_scan + 2)
    closed = data[: (first_scan + second_scan) // 2] + b"\xff\xd9"
    assert _rejection(closed).reason is Reason.TRUNCATED


@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_whole_jpeg_that_ends_in_mid_grey_is_accepted(mode: str, settings: dict[str, object]) -> None:
    image = _picture(200, 160)
    image.paste((128, 128, 128), (0, 64, 200, 160))
    result = decode_image("key", _file(image.convert(mode), "JPEG", **settings), CONFIG)
    assert not isinstance(result, Rejection)
    assert result[-1, -1].tolist() == [128, 128, 128]


def test_a_decompression_bomb_is_rejected_by_its_header() -> None:
    jpeg = bytearray(_file(_picture(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65500, 65500)
    gif = b"GIF89a" + struct.pack("<HH", 65535, 65535) + _file(_picture(), "GIF")[10:]
    webp = bytearray(_file(_picture(), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"))
    assert webp[12:16] == b"VP8X"
    webp[24:30] = b"\xff\x3f\0\xff\x3f\0"  # a canvas of 16384 x 16384
    for data in (_png_header(30000, 30000), bytes(jpeg), gif, bytes(webp)):
        assert _rejection(data).reason is Reason.TOO_MANY_PIXELS
    detail = "expected at most 178956970 pixels, got 30000 x 30000 = 900000000"
    assert _rejection(_png_header(30000, 30000)).detail == detail


def test_a_large_picture_must_have_bytes_for_its_pixels() -> None:
    uniform = io.BytesIO()
    Image.new("L", (6000, 6000)).save(uniform, "png")
    size = len(uniform.getvalue())
    assert _rejection(uniform.getvalue()) == Rejection(
        "key",
        Reason.TOO_MANY_PIXELS,
        f"expected a byte for 50 pixels of a large picture, got 6000 x 6000 in {size} bytes",
    )
    photograph = uniform.getvalue() + bytes(6000 * 6000 // 50)  # as many as a photograph would have
    assert not isinstance(decode_image("key", photograph, CONFIG), Rejection)


@pytest.mark.parametrize(
    ("limits", "reason", "detail"),
    [
        ({"max_pixels": 1535}, Reason.TOO_MANY_PIXELS, "expected at most 1535 pixels, got 48 x 32 = 1536"),
        ({"min_size_pixels": 33}, Reason.TOO_SMALL, "expected a short side of at least 33 pixels, got 48 x 32"),
        ({"max_aspect_ratio": 1.4}, Reason.ASPECT_RATIO, "expected long side / short side of at most 1.4, got 48 x 32"),
    ],
)
def test_a_size_beyond_a_limit_is_rejected(limits: dict[str, float], reason: Reason, detail: str) -> None:
    data = _file(_picture(), "PNG")
    rejection = _rejection(data, ImageConfig.model_validate(limits))
    assert (rejection.reason, rejection.detail) == (reason, detail)


def test_a_size_at_every_limit_is_accepted() -> None:
    config = ImageConfig(max_pixels=1536, min_size_pixels=32, max_aspect_ratio=1.5)
    assert not isinstance(decode_image("key", _file(_picture(), "PNG"), config), Rejection)
