"""Captions that lie beside images, in sidecar files and columns, written by anybody.

A text that is not UTF-8, or too long to be a caption, is no caption: it is left out, never guessed at.
"""

from stages.captions import clean_captions
from stages.sources.index.names import is_unicode

MOST_TEXT_BYTES = 1 << 20
"""A .txt or .json larger than this describes no single image; it is not read."""


def caption_of_file(content: bytes) -> tuple[str, ...]:
    """Read a sidecar: the whole file is one caption, white space collapsed; empty if there is none in it."""
    try:
        return clean_captions([content.decode("utf-8-sig")])
    except UnicodeDecodeError:
        return ()


def captions_of_value(value: object) -> tuple[str, ...]:
    """Read what a column holds: a caption or a list of them; whatever else is there counts as none."""
    values = value if isinstance(value, list) else [value]
    return clean_captions(text for text in values if isinstance(text, str) and is_unicode(text))
