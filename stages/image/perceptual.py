"""What an image looks like in 64 bits: pictures that were scaled, compressed or brightened anew differ in few of them.

    encoded image ──32 x 32 grey──cosine transform──> the 8 x 8 lowest frequencies ──over their median?──> 64 bits

Invariant: the hash depends on the encoded image alone. Source: `phash` of the library imagehash, after Zauner,
"Implementation and Benchmarking of Perceptual Image Hash Functions" (2010).
"""

import io

import imagehash
from PIL import Image

HASH_BITS = 64
_SEEN_PIXELS = 64
"""A JPEG is decoded at an eighth of its size, if that leaves so many: the hash sees 32."""


def perceptual_hash(encoded: bytes) -> int:
    """Return the 64 bits of an encoded image; OSError if it is none."""
    with Image.open(io.BytesIO(encoded)) as image:
        image.draft("L", (_SEEN_PIXELS, _SEEN_PIXELS))
        return int(str(imagehash.phash(image)), 16)
