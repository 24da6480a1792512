"""The colours of category ids: the PASCAL VOC colour map, as T2I-Adapter's segmentation pictures use it."""

PALETTE_COLORS = 256


def palette() -> bytes:
    """Return 256 RGB triples, 768 bytes: the colour of category id n is bytes 3n to 3n + 2; id 0 is black.

    Three bits of the id go to the top bits of red, green and blue, the next three below them, and so on. Source: the
    VOC development kit's `VOCcolormap`; that T2I-Adapter indexes it by category id (COCO-Stuff's pixel + 1) shows in
    its example pictures.
    """
    colors = bytearray()
    for category in range(PALETTE_COLORS):
        red = green = blue = 0
        for level in range(7):
            bits = category >> (3 * level)
            red |= (bits & 1) << (7 - level)
            green |= (bits >> 1 & 1) << (7 - level)
            blue |= (bits >> 2 & 1) << (7 - level)
        colors += bytes((red, green, blue))
    return bytes(colors)
