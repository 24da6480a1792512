"""What the shard stores is read back by Pillow, NumPy and OpenCV, exact wherever it is no JPEG."""

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from stages.image.crop import ImageConfig
from stages.image.decode import decode_stored
from stages.image.encode import encode_member, encode_png, encode_stored_image
from stages.records import ArrayMember, ImageMember, UInt8Array

PALETTE = np.random.default_rng(7).bytes(768)


def _smooth(width: int = 96, height: int = 64) -> UInt8Array:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)


def _noise(*shape: int) -> UInt8Array:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def _chunks(png: bytes) -> list[bytes]:
    kinds, position = [], 8
    while position < len(png):
        kinds.append(png[position + 4 : position + 8])
        position += 12 + int.from_bytes(png[position : position + 4], "big")
    return kinds


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (64, 96), (200, 333)])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_png_gives_back_its_pixels(size: tuple[int, int], channels: tuple[int, ...]) -> None:
    pixels = _noise(*size, *channels)
    with Image.open(io.BytesIO(encode_member(ImageMember("depth.png", pixels)))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB" if channels else "L")
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("size", [(1, 1), (64, 96), (200, 333)])
def test_an_indexed_png_is_the_label_map_and_the_picture(size: tuple[int, int]) -> None:
    ids = _noise(*size)
    png = encode_member(ImageMember("segmentation.png", ids, PALETTE))
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.array(image), ids)
        assert bytes(image.getpalette() or []) == PALETTE
    colours = np.frombuffer(PALETTE, np.uint8).reshape(256, 3)[ids]
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB), colours)


def test_every_chunk_of_a_png_is_sound_and_none_is_metadata() -> None:
    for png in (encode_png(_noise(40, 50, 3)), encode_png(_noise(40, 50)), encode_png(_noise(40, 50), PALETTE)):
        with Image.open(io.BytesIO(png)) as image:
            image.verify()  # checks every chunk's checksum
        assert set(_chunks(png)) <= {b"IHDR", b"PLTE", b"IDAT", b"IEND"}


def test_pixels_that_are_no_contiguous_array_are_encoded_all_the_same() -> None:
    pixels = _noise(40, 50, 3)
    pixels.flags.writeable = False
    assert encode_png(pixels[::2, ::-1]) == encode_png(pixels[::2, ::-1].copy())
    assert encode_png(pixels[..., 1]) == encode_png(pixels[..., 1].copy())


def test_a_png_of_a_smooth_map_is_no_larger_than_pillows_fastest() -> None:
    y, x = np.mgrid[0:256, 0:256] / 256
    depth = (255 * (0.5 * y + 0.3 * np.hypot(x - 0.4, y - 0.6))).round().astype(np.uint8)
    pillows = io.BytesIO()
    Image.fromarray(depth).save(pillows, "PNG", compress_level=1)
    assert len(encode_png(depth)) <= 1.1 * len(pillows.getvalue())


@pytest.mark.parametrize(
    "pixels",
    [_noise(4, 4, 4), _noise(4), _noise(4, 4, 3, 1), np.zeros((4, 4), np.float32), np.zeros((4, 4), np.int32)],
)
def test_pixels_of_another_shape_or_type_are_refused(pixels: UInt8Array) -> None:
    with pytest.raises(ValueError, match=r"picture to encode must be \(height, width\) or .* got \(4"):
        encode_png(pixels)


def test_a_picture_that_no_png_of_opencvs_holds_is_refused() -> None:
    # libpng takes at most a million pixels a side; OpenCV says so on stderr and by its return value, without an error.
    with pytest.raises(ValueError, match=r"picture of shape \(1, 1000001\) cannot be encoded by OpenCV; report this"):
        encode_png(np.zeros((1, 1_000_001), np.uint8))


def test_a_palette_must_fit_its_picture() -> None:
    with pytest.raises(ValueError, match=r"palette of 768 bytes, got .* and 9 bytes; give one RGB colour"):
        encode_png(_noise(4, 4), PALETTE[:9])
    with pytest.raises(ValueError, match=r"palette of 768 bytes, got \(4, 4, 3\)"):
        encode_png(_noise(4, 4, 3), PALETTE)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("length", [0, 51, 510])
def test_an_array_is_a_flat_npy_of_format_1(length: int, dtype: type[np.floating]) -> None:
    values = np.random.default_rng(0).random(length).astype(dtype)
    file = encode_member(ArrayMember("keypoints.npy", values))
    by_numpy = io.BytesIO()
    np.save(by_numpy, values)
    assert file == by_numpy.getvalue()
    assert file[6:8] == b"\x01\x00"
    loaded = np.load(io.BytesIO(file), allow_pickle=False)
    np.testing.assert_array_equal(loaded, values)
    assert loaded.dtype == dtype


@pytest.mark.parametrize("values", [np.zeros((2, 3), np.float32), np.zeros(3, np.float64)])
def test_values_of_another_shape_or_type_are_refused(values: np.ndarray) -> None:
    with pytest.raises(
        ValueError, match=r"keypoints\.npy values must be 1-D float32 or float16, got .*; flatten and convert them"
    ):
        encode_member(ArrayMember("keypoints.npy", values))


@pytest.mark.parametrize("quality", [50, 95, 100])
def test_a_stored_jpeg_is_pillows_with_halved_chroma_and_no_metadata(quality: int) -> None:
    data = encode_stored_image(_smooth(), ImageConfig(quality=quality))
    expected = io.BytesIO()
    Image.fromarray(_smooth()).save(expected, "JPEG", quality=quality, subsampling=2)
    assert data == expected.getvalue()
    with Image.open(io.BytesIO(data)) as image:
        assert set(image.info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert len(image.getexif()) == 0
        np.testing.assert_array_equal(decode_stored(data), np.asarray(image))


def test_a_stored_png_gives_back_its_pixels() -> None:
    pixels = _noise(64, 128, 3)
    np.testing.assert_array_equal(decode_stored(encode_stored_image(pixels, ImageConfig(format="png"))), pixels)


def test_threads_and_other_processes_write_the_same_bytes() -> None:
    def encode(_: int) -> tuple[bytes, ...]:
        jpeg, png = ImageConfig(), ImageConfig(format="png")
        picture = _smooth()
        return (
            encode_stored_image(picture, jpeg),
            encode_stored_image(picture, png),
            encode_png(picture[..., 0], PALETTE),
        )

    expected = encode(0)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(encode, range(40))) == {expected}
    program = (
        "import sys, numpy as np; from stages.image.encode import encode_png\n"
        "pixels = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(64, 96, 3)\n"
        "sys.stdout.buffer.write(encode_png(pixels))"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    other = subprocess.run(command, input=_smooth().tobytes(), capture_output=True, check=True, env=environment)
    assert other.stdout == expected[1]


def test_sixteen_bit_grey_survives_the_file() -> None:
    depth_hw = np.random.default_rng(0).integers(0, 1 << 16, (48, 64), np.uint16)
    with Image.open(io.BytesIO(encode_member(ImageMember("depth.png", depth_hw)))) as picture:
        assert picture.mode == "I;16"
        assert np.array_equal(np.asarray(picture), depth_hw)


def test_sixteen_bit_colour_is_refused() -> None:
    with pytest.raises(ValueError, match="or grey uint16, got"):
        encode_png(np.zeros((4, 4, 3), np.uint16))
