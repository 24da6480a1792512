"""The files of a sample: pixels and numbers to the bytes that the shard stores, and that Pillow and NumPy read back.

    stored image ──> JPEG (4:2:0) or PNG          condition ──> 8-bit grey, RGB or indexed PNG, or flat .npy of floats

The invariant: equal pixels give equal bytes, and a PNG or .npy gives back exactly what went in. All functions may be
called from several threads at once; the encoders run without the interpreter's lock.

Once the networks run in batches, PNG encoding is what limits the speed. OpenCV writes it, with the filter `up` and
zlib's run-length strategy for every kind of picture. Milliseconds / KiB at 512 x 512 on one core, with Pillow 13.0
(zlib-ng 2.3) and OpenCV 5.0 (zlib 1.2.11):

                                 Pillow level 6   Pillow level 1   OpenCV default   OpenCV up, RLE
    sketch, soft edges             5.4 /  30.9      4.4 /  34.2      1.5 /  40.9      1.5 /  37.0
    depth, smooth                 31.0 /  66.8     11.9 /  81.0      4.5 /  70.2      4.5 /  66.0
    color, blocks of 64 pixels     6.3 /   2.3      4.4 /   5.6      2.7 /  14.8      2.7 /  11.6
    keypose, 448 x 640            11.5 /   2.9      5.9 /   7.0      2.9 /   6.3      2.9 /   4.6
    segmentation                   3.3 /   3.4      2.4 /   5.1      0.9 /   4.7      0.8 /   3.1
    photograph                    93.0 / 343.5     30.0 / 376.0     19.9 / 377.1     19.4 / 379.6

The filter `paeth` would save 14 KiB of these 122 (without the photograph) for 40 % more time. Of other encoders,
imagecodecs' libpng and libspng take 1.7 to 4 times as long; fpng is faster on RGB, but writes no grey picture, and one
as RGB takes three times the bytes.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from stages.image.crop import ImageConfig
from stages.records import ArrayMember, ImageMember, UInt8Array, UInt16Array

_COLOUR_TYPE_INDEXED = b"\x03"


def encode_stored_image(image_hwc: UInt8Array, config: ImageConfig) -> bytes:
    """Encode the (height, width, 3) RGB image that the shard stores, as JPEG or PNG, without any metadata.

    The JPEG is baseline with 4:2:0 chroma, as nearly all photographs of the web are: 110 KiB on average at quality 95
    over the 79 photographs of the tests at 512 x 512, where 4:4:4 has 144 KiB and decodes 40 % slower.
    """
    if config.format == "png":
        return encode_png(image_hwc)
    file = io.BytesIO()
    Image.fromarray(image_hwc).save(file, "JPEG", quality=config.quality, subsampling="4:2:0")
    return file.getvalue()


def encode_member(member: ImageMember | ArrayMember) -> bytes:
    """Encode one member of a condition: a picture as PNG, an array as .npy (format 1.0, little-endian floats).

    Raises ValueError for pixels or values of another shape or type than the member's fields say.
    """
    if isinstance(member, ImageMember):
        return encode_png(member.pixels, member.palette)
    if member.values.ndim != 1 or member.values.dtype not in (np.float32, np.float16):
        raise ValueError(
            f"{member.extension} values must be 1-D float32 or float16, "
            f"got {member.values.ndim}-D {member.values.dtype}; flatten and convert them"
        )
    file = io.BytesIO()
    np.lib.format.write_array(
        file, member.values.astype(member.values.dtype.newbyteorder("<")), version=(1, 0), allow_pickle=False
    )
    return file.getvalue()


def encode_png(pixels: UInt8Array | UInt16Array, palette: bytes | None = None) -> bytes:
    """Encode (height, width) grey, (height, width, 3) RGB, or with a palette of 768 bytes RGB (height, width) indices.

    All are 8-bit but grey, which may have 16 (Pillow's mode "I;16"). Pillow opens indices in mode "P", where np.asarray
    gives them back. Raises ValueError for anything else.
    """
    import cv2

    channels = pixels.shape[2:]
    may_have_16_bits = pixels.ndim == 2 and palette is None
    types = (np.uint8, np.uint16) if may_have_16_bits else (np.uint8,)
    if pixels.ndim < 2 or channels not in ((), (3,)) or pixels.dtype not in types:
        raise ValueError(
            "picture to encode must be (height, width) or (height, width, 3) uint8, or grey uint16, "
            f"got {pixels.shape} {pixels.dtype}; scale and convert it"
        )
    if palette is not None and (channels or len(palette) != 768):
        raise ValueError(
            "indexed picture must be (height, width) with a palette of 768 bytes, "
            f"got {pixels.shape} and {len(palette)} bytes; give one RGB colour for each of the 256 ids"
        )
    settings = [
        *(cv2.IMWRITE_PNG_COMPRESSION, 1),  # any but 0 will do: the run-length strategy has no levels
        *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),  # after the level, which resets it
        *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
    ]
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if channels else pixels
    encoded, file = cv2.imencode(".png", bgr, settings)
    if not encoded:
        raise ValueError(f"picture of shape {pixels.shape} cannot be encoded by OpenCV; report this")
    png: bytes = file.tobytes()
    return png if palette is None else _with_palette(png, palette)


def _with_palette(grey_png: bytes, palette: bytes) -> bytes:
    """Turn an 8-bit grey PNG, which is what OpenCV can write, into an indexed one of the same pixel data.

    The two differ in the colour type, byte 9 of the header's data, and in the PLTE chunk that follows the header.
    """
    signature, header, rest = grey_png[:8], grey_png[16:29], grey_png[33:]
    indexed = header[:9] + _COLOUR_TYPE_INDEXED + header[10:]
    return signature + _chunk(b"IHDR", indexed) + _chunk(b"PLTE", palette) + rest


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
