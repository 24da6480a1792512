"""Captions that lie beside images, in sidecar files and columns, written by anybody: read in one way by every source.

A text that is not UTF-8, or too long to be a caption, is no caption: it is left out, never guessed at.
"""

from collections.abc import Iterator

from stages.captions import clean_captions
from stages.sources.index.names import is_unicode

MOST_TEXT_BYTES = 1 << 20
"""A .txt or .json larger than this describes no single image; it is not read."""
MOST_CAPTION_BYTES = 6_000
"""A longer text, of some 1,000 words, is no caption: text encoders read 77 of them. 4096 are in memory at once."""

MOST_CAPTIONS = 1000
MOST_CAPTIONS_BYTES = 1 << 16


def caption_of_file(content: bytes) -> tuple[str, ...]:
    """Read a sidecar: the whole file is one caption, white space collapsed; empty if there is none in it."""
    return captions_of_value(content)


def captions_of_value(value: object) -> tuple[str, ...]:
    """Read what a column holds: a caption, as text or UTF-8, or a list of them; whatever else counts as none.

    More than `MOST_CAPTIONS` of one image, or ones of over `MOST_CAPTIONS_BYTES` together, are none.
    """
    if isinstance(value, list | tuple) and len(value) > MOST_CAPTIONS:
        return ()
    captions = clean_captions(_texts(value))
    return captions if sum(map(len, captions)) <= MOST_CAPTIONS_BYTES else ()


def _texts(value: object) -> Iterator[str]:
    for each in value if isinstance(value, list | tuple) else (value,):
        text = readable_text(each)
        if text is not None and len(text.encode()) <= MOST_CAPTION_BYTES:
            yield text


def readable_text(value: object) -> str | None:
    """A text that can be written as UTF-8, from one or from its bytes; None for whatever else."""
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode("utf-8-sig")
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) and is_unicode(value) else None
