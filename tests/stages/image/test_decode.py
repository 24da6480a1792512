"""Every kind of image file that the web holds comes out as upright 8-bit RGB, with the pixels that Pillow gives it."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from stages.errors import ShardCorrupt
from stages.image.crop import ImageConfig
from stages.image.decode import decode_image, decode_stored
from stages.records import Reason, Rejection, UInt8Array

CONFIG = ImageConfig()
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _picture(width: int = 48, height: int = 32) -> Image.Image:
    """A colourful picture without symmetry, smooth enough for JPEG."""
    y, x = np.mgrid[0:height, 0:width]
    channels = (x * 255 // width, y * 255 // height, (x + 2 * y) * 255 // (width + 2 * height))
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def _alpha(image: Image.Image) -> Image.Image:
    width, height = image.size
    return Image.fromarray(np.linspace(0, 255, width * height).reshape(height, width).astype(np.uint8))


def _file(image: Image.Image, format_name: str, **settings: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **settings)
    return file.getvalue()


def _pixels(data: bytes, config: ImageConfig = CONFIG) -> UInt8Array:
    result = decode_image("key", data, config)
    assert not isinstance(result, Rejection), result
    assert result.dtype == np.uint8
    assert result.ndim == 3
    assert result.shape[2] == 3
    return result


def _over_white(image: Image.Image) -> UInt8Array:
    canvas = Image.new("RGBA", image.size, (255, 255, 255, 255))
    canvas.alpha_composite(image.convert("RGBA"))
    return np.asarray(canvas.convert("RGB"))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, bits: int, colour_type: int, interlace: int, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, interlace)
    return PNG_SIGNATURE + _chunk(b"IHDR", header) + b"".join(chunks) + _chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_of_any_colour_space_becomes_pillows_rgb(mode: str, progressive: bool) -> None:
    data = _file(_picture().convert(mode), "JPEG", quality=90, progressive=progressive)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == mode
        np.testing.assert_array_equal(_pixels(data), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_an_opaque_png_becomes_pillows_rgb(mode: str) -> None:
    image = _picture().convert(mode)
    np.testing.assert_array_equal(_pixels(_file(image, "PNG")), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("format_name", ["PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_an_alpha_channel_is_composited_over_white(mode: str, format_name: str) -> None:
    image = _picture().convert(mode)
    image.putalpha(_alpha(image))
    data = _file(image, format_name, **({"lossless": True, "exact": True} if format_name == "WEBP" else {}))
    np.testing.assert_array_equal(_pixels(data), _over_white(image))


@pytest.mark.parametrize("transparency", [3, bytes(range(0, 256, 4))])
def test_a_transparent_palette_is_composited_over_white(transparency: int | bytes) -> None:
    data = _file(_picture().quantize(64), "PNG", transparency=transparency)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "P"
        expected = _over_white(image)
    assert (expected == 255).all(axis=-1).any()
    np.testing.assert_array_equal(_pixels(data), expected)


@pytest.mark.parametrize(("mode", "colour"), [("L", 90), ("RGB", (0, 0, 0))])
def test_the_transparent_colour_of_a_png_without_alpha_becomes_white(
    mode: str, colour: int | tuple[int, int, int]
) -> None:
    image = _picture().convert(mode)
    image.paste(colour, (5, 6, 20, 21))
    pixels = _pixels(_file(image, "PNG", transparency=colour))
    assert (pixels[6:21, 5:20] == 255).all()
    np.testing.assert_array_equal(pixels[22:], np.asarray(image.convert("RGB"))[22:])


def test_16_bit_grey_keeps_its_high_byte_where_pillow_would_clip() -> None:
    grey = np.linspace(0, 65535, 40 * 30).reshape(30, 40).astype(np.uint16)
    data = _file(Image.fromarray(grey), "PNG")
    np.testing.assert_array_equal(_pixels(data), np.repeat((grey // 256).astype(np.uint8)[..., None], 3, axis=-1))


def test_the_transparent_level_of_16_bit_grey_is_matched_in_all_16_bits() -> None:
    grey = np.array([[0x1234, 0x1235, 0xFF00]], ">u2")
    rows = _chunk(b"IDAT", zlib.compress(b"\0" + grey.tobytes()))
    data = _png(3, 1, 16, 0, 0, _chunk(b"tRNS", struct.pack(">H", 0x1234)), rows)
    assert _pixels(data)[0, :, 0].tolist() == [255, 0x12, 0xFF]


def test_16_bit_rgb_keeps_its_high_bytes() -> None:
    rgb = np.random.default_rng(0).integers(0, 65536, (9, 7, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in rgb)
    data = _png(7, 9, 16, 2, 0, _chunk(b"IDAT", zlib.compress(rows)))
    np.testing.assert_array_equal(_pixels(data), (rgb // 256).astype(np.uint8))


def test_an_interlaced_png_is_put_together() -> None:
    grey = np.asarray(_picture(23, 17).convert("L"))
    starts_and_steps = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    passes = [grey[y::step_y, x::step_x] for y, x, step_y, step_x in starts_and_steps]
    rows = b"".join(b"\0" + row.tobytes() for part in passes for row in part)
    data = _png(23, 17, 8, 0, 1, _chunk(b"IDAT", zlib.compress(rows)))
    np.testing.assert_array_equal(_pixels(data)[..., 0], grey)


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "GIF", "MPO"])
def test_the_first_frame_of_many_is_taken(format_name: str) -> None:
    first = _picture().quantize(32).convert("RGB")
    second = first.transpose(Image.Transpose.ROTATE_180)
    lossless = {"lossless": True} if format_name == "WEBP" else {}
    data = _file(first, format_name, save_all=True, append_images=[second], **lossless)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, getattr(image, "n_frames", 1)) == (format_name, 2)
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(_pixels(data), expected)
    if format_name != "MPO":
        np.testing.assert_array_equal(expected, np.asarray(first))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_an_image_comes_out_upright(format_name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = _file(_picture(), format_name, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert expected.shape == ((48, 32, 3) if orientation >= 5 else (32, 48, 3))
    np.testing.assert_array_equal(_pixels(data), expected)


def test_broken_exif_data_counts_as_none(capfd: pytest.CaptureFixture[str]) -> None:
    intact = _file(_picture(), "JPEG")
    for exif in (
        b"Exif\0\0",
        b"Exif\0\0nonsense",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\x12\0\x03\0\0\0\x09\xff\xff\xff\xff",
    ):
        np.testing.assert_array_equal(_pixels(_file(_picture(), "JPEG", exif=exif)), _pixels(intact))
    assert capfd.readouterr() == ("", "")


def test_a_readable_orientation_is_applied_though_another_tag_is_broken() -> None:
    orientation = struct.pack(">HHIHH", ExifTags.Base.Orientation, 3, 1, 6, 0)
    unreadable = struct.pack(">HHII", ExifTags.Base.XResolution, 5, 1, 0x7FFFFFFF)
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 2) + orientation + unreadable + bytes(4)
    assert _pixels(_file(_picture(), "JPEG", exif=exif)).shape == (48, 32, 3)


def test_a_colour_profile_is_not_applied() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    with_profile, without = _file(_picture(), "JPEG", icc_profile=profile), _file(_picture(), "JPEG")
    np.testing.assert_array_equal(_pixels(with_profile), _pixels(without))


@pytest.mark.parametrize("size", [(1, 1), (65500, 1), (1, 65500)])
@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_extreme_sizes_are_decoded(size: tuple[int, int], format_name: str) -> None:
    data = _file(_picture(*size), format_name)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(_pixels(data), np.asarray(image))


@pytest.mark.parametrize("name", ["transparency", "bbox", "exif", "xmp", "icc_profile"])
def test_a_text_chunk_that_pillow_takes_for_its_own_field_does_no_harm(name: str) -> None:
    text = PngInfo()
    text.add_text(name, "hello", zip=True)
    result = decode_image("key", _file(_picture(), "PNG", pnginfo=text), CONFIG)
    if isinstance(result, Rejection):
        assert result.reason is Reason.NOT_AN_IMAGE
    else:
        np.testing.assert_array_equal(result, np.asarray(_picture()))


@pytest.mark.parametrize("name", ["tEXt", "zTXt", "iTXt", "iCCP"])
def test_a_png_with_megabytes_of_text_or_profile_has_its_pixels(name: str) -> None:
    content = np.random.default_rng(0).integers(1, 255, 3 << 20, np.uint8).tobytes()
    unpacked = bytes(3 << 20)
    data = {
        "tEXt": b"note\0" + content,
        "zTXt": b"note\0\0" + zlib.compress(unpacked),
        "iTXt": b"note\0\1\0\0\0" + zlib.compress(unpacked),
        "iCCP": b"note\0\0" + zlib.compress(unpacked),
    }[name]
    plain = _file(_picture(), "PNG")
    for place in (33, len(plain) - 12):  # before the pixels, and after them
        whole = plain[:place] + _chunk(name.encode(), data) + plain[place:]
        np.testing.assert_array_equal(_pixels(whole), _pixels(plain))


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_a_stored_image_is_decoded_as_its_readers_decode_it(format_name: str) -> None:
    data = _file(_picture(), format_name)
    pixels = decode_stored(data)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(pixels, np.array(image))
    assert not pixels.flags.writeable


def test_a_damaged_stored_image_is_a_corrupt_shard() -> None:
    data = _file(_picture(), "JPEG")
    with pytest.raises(ShardCorrupt, match=r"stored image must be a JPEG or PNG .* got 200 bytes that cannot"):
        decode_stored(data[:200])
    with pytest.raises(ShardCorrupt, match="got one of mode L; make the shard again"):
        decode_stored(_file(_picture().convert("L"), "JPEG"))
