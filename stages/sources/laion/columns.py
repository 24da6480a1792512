"""Which column of a LAION parquet file means what: the published sets name the same things in many ways.

    URL, url ──> url      TEXT, caption ──> caption      AESTHETIC_SCORE, aesthetic ──> aesthetic      ...

Names are compared without regard to case. A file that lacks a column that is needed is an error that lists what it has.
"""

from collections.abc import Mapping

import pyarrow as pa

from stages.errors import SourceError
from stages.settings import Settings
from stages.sources.arrow_texts import is_text

KNOWN_NAMES: Mapping[str, tuple[str, ...]] = {
    "url": ("url", "image_url"),
    "caption": ("text", "caption", "txt"),
    "width": ("original_width", "width"),
    "height": ("original_height", "height"),
    "aesthetic": ("aesthetic_score", "aesthetic"),
    "watermark": ("pwatermark",),
    "unsafe": ("punsafe",),
    "similarity": ("similarity",),
    "hash": ("hash", "sha256", "md5", "sha256hash"),
    "license": ("license",),
}
"""What a column means, to its names in the order of preference: those of LAION-400M, of LAION-5B and its subsets, of
LAION-Aesthetics V2, and of the metadata that img2dataset writes (whose `width` is the resized image's)."""

TEXTS = frozenset({"url", "caption", "license"})
NUMBERS = frozenset({"width", "height", "aesthetic", "watermark", "unsafe", "similarity"})
SCORES = ("aesthetic", "similarity", "unsafe", "watermark")
"""What the index keeps as scores, sorted."""


class LaionColumns(Settings):
    """The `[source.columns]` table: a column's name where it is not one of those that are known; empty finds it."""

    url: str = ""
    """Where the image is published."""
    caption: str = ""
    """The text beside the image."""
    width: str = ""
    """Width of the original image in pixels."""
    height: str = ""
    """Height of the original image in pixels."""
    aesthetic: str = ""
    """The predicted aesthetic score, about 1 to 10."""
    watermark: str = ""
    """The probability that the image has a watermark."""
    unsafe: str = ""
    """The probability that the image is not safe for work."""
    similarity: str = ""
    """The cosine similarity of the CLIP embeddings of image and text."""
    hash: str = ""
    """A number or text that is equal for equal images, or equal pairs."""
    license: str = ""
    """The licence of the image."""


def find_columns(schema: pa.Schema, overrides: LaionColumns, needed: Mapping[str, str], where: str) -> dict[str, str]:
    """Return what is there, meaning to column name, for every meaning that has a column.

    `needed` says which meanings the file must have, and which setting asks for each, if one does. Raises SourceError,
    naming the file, if it lacks one, if two columns have equally good names, or if a column that is needed or named in
    `overrides` has a type that cannot be read; another such column is left out.
    """
    columns: dict[str, str] = {}
    for meaning, known in KNOWN_NAMES.items():
        override = getattr(overrides, meaning)
        names = _named(schema, override) if override else _recognised(schema, known)
        if override and not names:
            raise SourceError(
                f"source.columns.{meaning} must be a column of {where}, got {override!r}; it has {_listed(schema)}"
            )
        if len(names) > 1:
            raise SourceError(
                f"{where} must have one column of {meaning}, got {', '.join(names)}; set source.columns.{meaning}"
            )
        if names:
            columns[meaning] = names[0]
    for meaning, setting in needed.items():
        if meaning not in columns:
            purpose, way_out = (f" for {setting}", f", or do without {setting}") if setting else ("", "")
            raise SourceError(
                f"{where} must have a column {' or '.join(KNOWN_NAMES[meaning])}{purpose}, got {_listed(schema)}; "
                f"set source.columns.{meaning}{way_out}"
            )
    for meaning, name in tuple(columns.items()):
        expected = _expected(schema.field(name).type, meaning)
        if not expected:
            continue
        if meaning in needed or getattr(overrides, meaning):
            found = schema.field(name).type
            raise SourceError(f"{where} column {name} must hold {expected}, got {found}; set source.columns.{meaning}")
        del columns[meaning]
    return columns


def _named(schema: pa.Schema, name: str) -> list[str]:
    return [each for each in schema.names if each == name]


def _recognised(schema: pa.Schema, known: tuple[str, ...]) -> list[str]:
    """The columns of the first known name that any column has."""
    found = ([each for each in schema.names if each.lower() == name] for name in known)
    return next((names for names in found if names), [])


def _listed(schema: pa.Schema) -> str:
    return ", ".join(schema.names) or "no column"


def _expected(found: pa.DataType, meaning: str) -> str:
    """What a column of this meaning must hold, if that cannot be read from the type; else empty."""
    inner = found.value_type if pa.types.is_dictionary(found) else found
    if is_text(inner) or pa.types.is_null(inner):
        return ""
    if meaning == "caption" and pa.types.is_list(inner) and is_text(inner.value_type):
        return ""
    if meaning in TEXTS:
        return "text"
    if meaning in NUMBERS:
        return "" if is_number(inner) or pa.types.is_decimal(inner) else "numbers"
    return "" if is_number(inner) else "whole numbers or text"


def is_number(found: pa.DataType) -> bool:
    """Whether a type is a whole number or a floating-point number."""
    return bool(pa.types.is_integer(found) or pa.types.is_floating(found))
