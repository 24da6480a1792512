"""The samples of one tar: its members by the stem of their names, in any order.

    000/17.jpg   000/17.txt   000/17.json   ──>   sample "000/17": where the image lies, captions, columns

The stem ends at the first dot of a file's name, as in webdataset (`base_plus_ext`): 17.depth.png belongs to 17. Which
image belongs to which caption cannot be known where a stem has two of one kind, so all of these are duplicates.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from stages.sources.caption_text import MOST_TEXT_BYTES, caption_of_file, captions_of_value
from stages.sources.index.names import is_unicode, normal_name
from stages.sources.webdataset.tar_members import TarCut, TarMember, read_members

SIZES = frozenset({"width", "height", "original_width", "original_height"})
"""Numbers of img2dataset's .json that are no scores."""
TEXT_EXTENSIONS = ("txt", "json")


@dataclass(frozen=True, slots=True)
class TarSample:
    """What a tar holds under one stem."""

    stem: str
    images: tuple[TarMember, ...]
    captions: tuple[str, ...]
    columns: Mapping[str, object]
    """Of the .json; empty if there is none, or none that can be read."""
    copies: int
    """How many images, or .txt, or .json files have this stem; more than 1 is a duplicate."""
    cut: bool
    """Whether the tar ends within one of its members."""


@dataclass(frozen=True, slots=True)
class TarListing:
    """What one tar holds."""

    samples: tuple[TarSample, ...]
    """By stem, in the order of the stems."""
    cut: TarCut | None


@dataclass(slots=True)
class _Found:
    images: list[TarMember] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    descriptions: list[bytes] = field(default_factory=list)
    cut: bool = False


def list_tar(file: BinaryIO, image_extensions: Sequence[str], caption_column: str) -> TarListing:
    """List the samples of a tar, reading headers and the .txt and .json members only.

    Members with other extensions, hidden ones and links are no part of a sample; a stem with none left is no sample.
    The caption is the .txt's, else that of `caption_column` of the .json, a string or a list of strings.
    """
    found: dict[str, _Found] = {}
    cut: TarCut | None = None
    for member in read_members(file):
        name = member.member if isinstance(member, TarCut) else member.name
        stem, extension = split_name(name)
        if isinstance(member, TarCut):
            cut = member
        if not stem or not (extension in TEXT_EXTENSIONS or extension in image_extensions):
            continue
        sample = found.setdefault(stem, _Found())
        if isinstance(member, TarCut):
            sample.cut = True
        elif extension in image_extensions:
            sample.images.append(member)
        else:
            texts = sample.texts if extension == "txt" else sample.descriptions
            texts.append(_read(file, member))
    samples = tuple(_sample(stem, found[stem], caption_column) for stem in sorted(found))
    return TarListing(samples, cut)


def split_name(name: str) -> tuple[str, str]:
    """Split a member's name at the first dot after the last slash: stem, lower-case extension; empty if hidden.

    The stem is normal, or as it is if `normal_name` refuses it.
    """
    folder, slash, last = name.rpartition("/")
    base, _, extension = last.partition(".")
    if not base:
        return "", ""
    stem = folder + slash + base
    return normal_name(stem) or stem, extension.lower()


def numeric_columns(samples: Sequence[TarSample]) -> tuple[str, ...]:
    """The names of all columns that hold a number in any sample, sorted; sizes are left out."""
    return tuple(sorted({name for sample in samples for name, _ in _numbers(sample.columns)}))


def scores_of(columns: Mapping[str, object], names: Sequence[str]) -> dict[str, float]:
    """The numbers of a sample under exactly these names; NaN where it has none."""
    numbers = dict(_numbers(columns))
    return {name: numbers.get(name, math.nan) for name in names}


def text_column(columns: Mapping[str, object], name: str) -> str:
    """A text of a sample by its column's name in any case (img2dataset keeps LAION's LICENSE); empty if none."""
    for each, value in columns.items():
        if each.lower() == name and isinstance(value, str) and is_unicode(value):
            return value
    return ""


def size_column(columns: Mapping[str, object], name: str) -> int:
    """A size in pixels; 0 if the sample does not say."""
    value = columns.get(name)
    return value if type(value) is int and 0 < value < 2**31 else 0


def _numbers(columns: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    for name, value in columns.items():
        if type(value) in (int, float) and name not in SIZES and is_unicode(name):
            try:
                number = float(value)  # type: ignore[arg-type]  # it is an int or a float
            except OverflowError:  # an int beyond 1e308
                number = math.inf
            yield name, number if math.isfinite(number) else math.nan


def _read(file: BinaryIO, member: TarMember) -> bytes:
    """Read a small member; nothing of one that is too large to describe an image."""
    if member.bytes > MOST_TEXT_BYTES:
        return b""
    file.seek(member.offset)
    return file.read(member.bytes)


def _sample(stem: str, found: _Found, caption_column: str) -> TarSample:
    columns = _columns(found.descriptions[0]) if found.descriptions else {}
    captions = caption_of_file(found.texts[0]) if found.texts else ()
    return TarSample(
        stem=stem,
        images=tuple(found.images),
        captions=captions or captions_of_value(columns.get(caption_column)),
        columns=columns,
        copies=max(len(found.images), len(found.texts), len(found.descriptions)),
        cut=found.cut,
    )


def _columns(description: bytes) -> Mapping[str, object]:
    try:
        columns = json.loads(description)
    except (ValueError, RecursionError):
        return {}
    return columns if isinstance(columns, dict) else {}
