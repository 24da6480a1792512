"""The pixels of an image file, decoded, upright and 8-bit RGB, or the reason why there are none.

    bytes ──signature──> header ──limits──> pixels ──alpha over white──> RGB ──EXIF──> upright (height, width, 3)
      └────────────────────┴──────────────────┴──> Rejection

JPEG, PNG, WebP and GIF are accepted, by content and never by file name; of an animation the first frame. Pillow's own
conversions define the pixels, and embedded colour profiles are not applied, because the readers of the data set
(webdataset, Hugging Face datasets) decode with Pillow too. The invariant: whatever the bytes, either an image or a
`Rejection` comes out, nothing is printed and nothing is raised; and a file that was cut off is a `Rejection`, never a
half-grey image.
"""

import io
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from stages.errors import ShardCorrupt
from stages.image.claims import PIXELS_PER_BYTE, is_out_of_proportion
from stages.image.crop import ImageConfig
from stages.image.pillow_internals import format_by_signature, ran_out_of_data, scan_start
from stages.image.pillow_warnings import pillow_warnings_ignored
from stages.image.png_chunks import without_texts
from stages.records import Reason, Rejection, UInt8Array

# The table of ImageOps.exif_transpose, which is not called itself: it also writes the EXIF data anew, and fails where a
# tag that has nothing to do with the orientation is broken.
_TRANSPOSE_OF_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_OTHER_KINDS = {
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"{": "JSON",
    b"[": "JSON",
    b"%pdf": "PDF",
    b"pk\x03\x04": "a zip",
    b"\x1f\x8b": "gzip",
    b"version https://git-lfs": "a pointer of Git LFS",
}
"""What lies in an image's place, by how it begins, in lower case and without white space."""

_Opener: TypeAlias = Callable[[io.BytesIO], ImageFile.ImageFile]


def _opener(data: bytes) -> tuple[str, _Opener] | None:
    """Return the name and the class of the accepted format that the signature shows.

    The plugin's class in place of Image.open: that one replaces the plugin's error by "cannot identify image file" with
    an address of this process's memory, and a rejection's detail must be the same on every run. JpegImageFile also
    takes the multi-picture files of telephones (MPO), whose first picture is an ordinary JPEG.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG", JpegImageFile
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG", PngImageFile
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP", WebPImageFile
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF", GifImageFile
    return None


def has_image_signature(data: bytes) -> bool:
    """Whether a file begins as one of the formats that are accepted."""
    return _opener(data) is not None


def decode_image(key: str, data: bytes, config: ImageConfig) -> UInt8Array | Rejection:
    """Decode a file from anywhere into upright RGB, or say why that cannot be done.

    Returns (height, width, 3), read-only. Grey, palette, CMYK and 1-bit images become RGB as Pillow converts them,
    except 16-bit grey, which Pillow clips at 255: here its high byte is kept. Transparent pixels are composited over
    white: the captions of the web describe pictures seen on white pages, and what lies under a transparent pixel is
    arbitrary. The EXIF orientation is applied as ImageOps.exif_transpose does; EXIF data that cannot be read counts as
    none.

    The rejections: empty_file, unsupported_format, not_an_image (no image format, or a damaged file), truncated, and by
    the limits of `config` too_many_pixels, too_small and aspect_ratio, all three before a pixel is decoded. May be
    called from several threads.
    """
    if not data:
        return Rejection(key, Reason.EMPTY_FILE, "expected an image file, got 0 bytes")
    accepted = _opener(data)
    if accepted is None:
        return _reject_unknown(key, data)
    name, opener = accepted
    outcome = _decode(key, data, name, opener, config)
    if name == "PNG" and isinstance(outcome, Rejection) and outcome.reason in (Reason.NOT_AN_IMAGE, Reason.TRUNCATED):
        bare = without_texts(data)
        again = _decode(key, bare, name, opener, config) if len(bare) < len(data) else outcome
        return outcome if isinstance(again, Rejection) else again
    return outcome


def _decode(key: str, data: bytes, name: str, opener: _Opener, config: ImageConfig) -> UInt8Array | Rejection:
    try:
        with pillow_warnings_ignored():
            image = opener(io.BytesIO(data))
            rejection = _reject_by_size(key, image, len(data), config)
            if rejection is not None:
                return rejection
            if _scan_ends_early(image, data, opener):
                return Rejection(key, Reason.TRUNCATED, "a JPEG whose end marker comes before its last block")
            return np.asarray(_upright_rgb(image))
    except (Image.DecompressionBombError, MemoryError) as error:
        return Rejection(key, Reason.TOO_MANY_PIXELS, _one_line(f"a {name} that claims too many pixels: {error}"))
    # Fuzzing drew OSError, SyntaxError, ValueError, TypeError, struct.error and AssertionError out of Pillow, some by
    # accident (a PNG text chunk named "transparency" gives a TypeError): no list of them can be known to be whole, and
    # one file of a billion must not end a run.
    except Exception as error:  # noqa: BLE001
        reason = Reason.TRUNCATED if _is_cut_short(name, data, error) else Reason.NOT_AN_IMAGE
        return Rejection(key, reason, _one_line(f"a {name} that cannot be decoded: {error or type(error).__name__}"))


def decode_stored(data: bytes) -> UInt8Array:
    """Decode a stored image, which condset wrote itself, into (height, width, 3) RGB, read-only.

    Raises ShardCorrupt if it is not a JPEG or PNG of 8-bit RGB. Pillow, not cv2.imdecode: all of 357 encoded
    photographs gave the same pixels, and OpenCV took 3.1 ms where Pillow takes 3.9 (512 x 512, quality 95), but that
    equality is one of two libjpeg builds, and the readers of the data set use Pillow's.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            if image.mode == "RGB":
                return np.asarray(image)
            found = f"one of mode {image.mode}"
    except (OSError, SyntaxError, ValueError) as error:
        found = f"{len(data)} bytes that cannot be decoded ({type(error).__name__})"
    raise ShardCorrupt(f"stored image must be a JPEG or PNG of 8-bit RGB, got {found}; make the shard again")


def _reject_by_size(key: str, image: Image.Image, file_bytes: int, config: ImageConfig) -> Rejection | None:
    """Apply the limits to a size before orientation: swapped axes do not change any of them."""
    width, height = image.size
    short, long = sorted((width, height))
    if width * height > config.max_pixels:
        detail = f"expected at most {config.max_pixels} pixels, got {width} x {height} = {width * height}"
        return Rejection(key, Reason.TOO_MANY_PIXELS, detail)
    if is_out_of_proportion(image, file_bytes):
        detail = f"expected a byte for {PIXELS_PER_BYTE} pixels of a large picture, got {width} x {height}"
        return Rejection(key, Reason.TOO_MANY_PIXELS, f"{detail} in {file_bytes} bytes")
    if short < config.min_size_pixels:
        detail = f"expected a short side of at least {config.min_size_pixels} pixels, got {width} x {height}"
        return Rejection(key, Reason.TOO_SMALL, detail)
    if config.max_aspect_ratio and long > config.max_aspect_ratio * short:
        detail = f"expected long side / short side of at most {config.max_aspect_ratio:g}, got {width} x {height}"
        return Rejection(key, Reason.ASPECT_RATIO, detail)
    return None


def _upright_rgb(image: Image.Image) -> Image.Image:
    image.load()
    transpose = _transpose(image)
    if image.mode == "I;16":
        image = _high_byte(image)
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return rgb if transpose is None else rgb.transpose(transpose)


def _high_byte(image: Image.Image) -> Image.Image:
    """Make 8-bit grey of 16-bit grey; the one transparent level that PNG allows becomes white."""
    grey = np.asarray(image)
    high = (grey >> 8).astype(np.uint8)
    if "transparency" in image.info:
        high[grey == image.info["transparency"]] = 255
    return Image.fromarray(high)


def _transpose(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TRANSPOSE_OF_ORIENTATION.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001  the EXIF parser lets any error through, and broken EXIF spoils no pixel
        return None


def _scan_ends_early(image: ImageFile.ImageFile, data: bytes, opener: _Opener) -> bool:
    """Load the image and say whether it is a JPEG that was cut off and closed with an end marker all the same.

    libjpeg fills the missing blocks with mid-grey and warns; Pillow drops the warning (all of 2,844 such files decoded
    without an error). So where the last pixel is that grey, the scan is decoded once more with 8 zero bytes, what
    libjpeg reads ahead, in the end marker's place: a scan with all of its blocks is not disturbed (none of 1,501), one
    that stops early runs out of data (all but 2 of 2,844, which lacked a block or so). Of a progressive file this
    finds a cut in the first scan; one in a later scan leaves no block out, only detail, and is not found.
    """
    start = scan_start(image)
    image.load()
    if not start:
        return False
    last_pixel = image.getpixel((image.width - 1, image.height - 1))
    levels = last_pixel if isinstance(last_pixel, tuple) else (last_pixel,)
    if not set(levels) <= {127, 128}:  # inverted CMYK gives 127
        return False
    end = data.find(b"\xff\xd9", start)
    if end < 0 or data.find(b"\xff\xda", start, end) >= 0:  # several scans
        return False
    try:
        opener(io.BytesIO(data[:end] + bytes(8))).load()
    except OSError:
        return True
    return False


def _is_cut_short(name: str, data: bytes, error: Exception) -> bool:
    """Tell a file that ends too soon from one that is damaged: it has no end, or its decoder ran out of data."""
    ends_early = {
        "JPEG": b"\xff\xd9" not in data,
        "PNG": b"IEND" not in data,
        "WebP": int.from_bytes(data[4:8], "little") + 8 > len(data),
        "GIF": not data.endswith(b";"),
    }
    return ends_early[name] or ran_out_of_data(error)


def _reject_unknown(key: str, data: bytes) -> Rejection:
    """Name the format if its signature is one that Pillow knows, without running any of Pillow's other parsers."""
    if name := format_by_signature(data):
        return Rejection(key, Reason.UNSUPPORTED_FORMAT, f"expected JPEG, PNG, WebP or GIF, got {name}")
    return Rejection(
        key, Reason.NOT_AN_IMAGE, f"expected JPEG, PNG, WebP or GIF, got {len(data)} bytes of {_kind(data)}"
    )


def _kind(data: bytes) -> str:
    """Say what a file seems to be; never in its own words, since a record is published and the file may be anything."""
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, kind in _OTHER_KINDS.items():
        if start.startswith(signature):
            return kind
    try:
        text = data[:1024].decode(errors="ignore" if len(data) > 1024 else "strict")
    except UnicodeDecodeError:
        return "no known kind"
    return "text" if all(each.isprintable() or each.isspace() for each in text) else "no known kind"


def _one_line(text: str) -> str:
    return " ".join(text.split())
