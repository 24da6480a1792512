"""What Pillow knows and has no documented way to tell (the same from Pillow 11 to 13): each used here alone.

- the signatures of the formats that its plug-ins read, without running a plug-in;
- that an error means "the file ends too soon": an OSError or SyntaxError like any other, told apart by its words;
- where the header of a JPEG ends: where its plug-in stops reading until the pixels are asked for.
"""

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

SIGNATURE_BYTES = 16


def format_by_signature(data: bytes) -> str:
    """Name the format whose signature the data begins with, of all that Pillow reads; empty if there is none."""
    Image.init()
    prefix = data[:SIGNATURE_BYTES].ljust(SIGNATURE_BYTES, b"\0")
    for name in Image.ID:
        _, accepts = Image.OPEN[name]
        if accepts is not None and accepts(prefix):
            return name
    return ""


def ran_out_of_data(error: Exception) -> bool:
    """Say whether a decoder of Pillow raised this because the data ended before the image did."""
    return "truncated" in str(error).lower()


def scan_start(image: ImageFile.ImageFile) -> int:
    """Return where the first scan of a JPEG that was opened and not yet loaded starts, in bytes; 0 for others."""
    return image.fp.tell() if isinstance(image, JpegImageFile) and image.fp is not None else 0
