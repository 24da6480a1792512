"""The chunks of a PNG: what its pixels need, without what is only said about them.

Pillow refuses a PNG whose text or colour profile unpacks to over a megabyte, and trips over texts that are named like
its own fields. None of them changes a pixel here.
"""

import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAID = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})


def without_texts(data: bytes) -> bytes:
    """Return a PNG without its texts and colour profile; what is damaged of them, or is no chunk, stays as it is."""
    kept = [SIGNATURE]
    start = len(SIGNATURE)
    while start + 12 <= len(data):
        stop = start + 12 + int.from_bytes(data[start : start + 4])
        checksum = int.from_bytes(data[stop - 4 : stop])
        if data[start + 4 : start + 8] not in SAID or zlib.crc32(data[start + 4 : stop - 4]) != checksum:
            kept.append(data[start:stop])
        start = stop
    return b"".join([*kept, data[start:]])
