"""Label maps: one category id for every pixel, cut exactly as the image was, never blended.

    label file ──decode──> pixel values ──+ offset (mod 256)──> category ids, 0 = unlabelled ──nearest──> stored ids

COCO-Stuff's maps hold category id - 1 and 255 for unlabelled, so an offset of 1 modulo 256 covers both.
"""

import io

import numpy as np
from PIL import Image

from stages.image.claims import is_out_of_proportion
from stages.image.crop import crop_labels
from stages.image.encode import encode_png
from stages.image.pillow_warnings import pillow_warnings_ignored
from stages.records import Crop, Reason, Rejection, UInt8Array


def decode_labels(key: str, data: bytes, offset: int) -> UInt8Array | Rejection:
    """Decode a label map's file to (height, width) category ids.

    A rejection unless it is an image of one 8-bit channel: a label map that was saved as colours cannot be trusted.
    """
    try:
        with pillow_warnings_ignored(), Image.open(io.BytesIO(data)) as image:
            if image.mode not in ("L", "P"):
                return Rejection(key, Reason.BAD_LABELS, f"the label map must have one 8-bit channel, got {image.mode}")
            if is_out_of_proportion(image, len(data)):
                size = f"{image.width}x{image.height} in {len(data)} bytes"
                return Rejection(key, Reason.BAD_LABELS, f"the label map must be as large as it claims, got {size}")
            pixels = np.asarray(image, np.uint8)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        # Not Pillow's text: it holds a memory address, and a record must be the same on every run.
        detail = f"the label map must be a readable image, got {len(data)} bytes with {type(error).__name__}"
        return Rejection(key, Reason.BAD_LABELS, detail)
    return pixels + np.uint8(offset)


def cut_labels(key: str, labels_hw: UInt8Array, crop: Crop) -> bytes | Rejection:
    """Cut a label map as the image was cut; returns an 8-bit PNG of category ids."""
    height, width = labels_hw.shape
    if (width, height) != (crop.original_width, crop.original_height):
        expected = f"{crop.original_width}x{crop.original_height}"
        detail = f"the label map must have the image's {expected} pixels, got {width}x{height}"
        return Rejection(key, Reason.BAD_LABELS, detail)
    return encode_png(crop_labels(labels_hw, crop))


def read_cut_labels(label_bytes: bytes) -> UInt8Array | None:
    """Read back what `cut_labels` wrote, (height, width); None for a sample without label map."""
    if not label_bytes:
        return None
    with Image.open(io.BytesIO(label_bytes)) as image:
        return np.asarray(image, np.uint8)
