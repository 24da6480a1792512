"""A condition picture from a user's file: upright RGB, opaque, with the background that annotators draw on.

    FILE ──decode, upright──> pixels ──alpha over the condition's background──> (height, width, 3) RGB

Annotators draw on black (edges, skeletons, labels, far depth), and `color` reduces images, which are seen on white. So
that is where the transparent pixels of a drawing go; a picture of which nothing is left there is refused: black lines
on nothing are a blank to the adapter.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from stages.errors import ConfigError
from stages.image.crop import ImageConfig
from stages.image.decode import decode_image
from stages.records import Condition, Rejection, UInt8Array
from train.data.conditions import decode_condition

OPAQUE = 255


def read_picture(path: Path, kind: Condition | None) -> UInt8Array:
    """Decode an image file, upright, to (height, width, 3) RGB; grey of 16 bits to (height, width), as in training.

    Raises ConfigError if it cannot be decoded, or has transparent pixels and nobody says what is behind them.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"--condition {path} must be a picture, got {type(error).__name__}; correct the path"
        ) from None
    decoded = decode_image(str(path), content, ImageConfig())
    if isinstance(decoded, Rejection):
        raise ConfigError(f"--condition {path} must be a JPEG, PNG, WebP or GIF, got {decoded.detail}; convert it")
    with Image.open(io.BytesIO(content)) as image:
        if image.has_transparency_data and image.mode.startswith("I"):
            return _flattened(path, image, kind)
        if image.has_transparency_data:
            alpha = image.convert("RGBA").getchannel("A")
            if alpha.getextrema()[0] != OPAQUE:
                return _flattened(path, image, kind)
    is_grey_of_16_bits = content.startswith(b"\x89PNG") and content[24:26] == b"\x10\x00"  # depth, colour type
    return decode_condition(content, str(path)) if is_grey_of_16_bits else decoded


def _flattened(path: Path, image: Image.Image, kind: Condition | None) -> UInt8Array:
    """Put a picture with transparent pixels on the background of its condition."""
    if kind is None or image.mode.startswith("I"):
        unknown = "where the kind of its condition is not known" if kind is None else "in grey of 16 bits"
        raise ConfigError(
            f"--condition {path} must be opaque {unknown}, got transparent pixels; "
            + ("give --condition-kind, or " if kind is None else "")
            + "put it on the background that the adapter was trained with"
        )
    background = "white" if kind is Condition.COLOR else "black"
    over = Image.alpha_composite(Image.new("RGBA", image.size, background), image.convert("RGBA")).convert("RGB")
    flat = io.BytesIO()
    # As a file, so that it is turned upright by the very same code.
    over.save(flat, "PNG", exif=image.info.get("exif", b""))
    picture = decode_image(str(path), flat.getvalue(), ImageConfig())
    assert not isinstance(picture, Rejection), "it was decoded before"
    if np.ptp(picture) == 0:
        raise ConfigError(
            f"--condition {path} must show something on {background}, which its transparent pixels become for {kind}, "
            "got one plain colour; draw it on an opaque background"
        )
    return picture
