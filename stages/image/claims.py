"""What a picture's header claims, held against the bytes that there are: a few of them may claim gigabytes.

A photograph has a byte for every ten or twenty pixels. A picture that needs much memory must have one for every fifty,
which no file of a uniform colour has; `max_pixels` of the settings bounds what the others may need.
"""

from PIL import Image

MOST_BYTES = 250_000_000
"""What any picture may need to be decoded, however few bytes it has."""
PIXELS_PER_BYTE = 50

# Peaks of stages.image.decode in bytes per pixel, measured with Pillow 12: the picture, its upright copy, the array and
# its making; over that a white ground and what is blended over it; over that two canvases of libwebp and their copy.
_UPRIGHT, _BLENDED, _WEBP = 15, 6, 8


def is_out_of_proportion(image: Image.Image, file_bytes: int) -> bool:
    """Say of a picture whose pixels are not loaded yet whether they need too much memory for a file of this length."""
    pixels = image.width * image.height
    needed = _UPRIGHT + _BLENDED * image.has_transparency_data + _WEBP * (image.format == "WEBP")
    return pixels * needed > MOST_BYTES and pixels > PIXELS_PER_BYTE * file_bytes
