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

from stages.records import FACTS
from stages.sources.caption_text import MOST_TEXT_BYTES, caption_of_file, captions_of_value
from stages.sources.index.names import is_unicode, normal_name
from stages.sources.webdataset.tar_members import TarCut, TarMember, read_members

NO_SCORES = frozenset({"width", "height", "original_width", "original_height", "license", "url", "source_url", *FACTS})
"""Columns of img2dataset's .json that measure nothing, also where they hold numbers; in lower case."""
INT64 = range(-(2**63), 2**63)
TEXT_EXTENSIONS = ("txt", "json")


@dataclass(frozen=True, slots=True)
class TarSample:
    """What a tar holds under one stem."""

    stem: str
    images: tuple[TarMember, ...]
    captions: tuple[str, ...]
    label_maps: tuple[TarMember, ...]
    columns: Mapping[str, object]
    """Of the .json; empty if there is none, or none that can be read."""
    copies: int
    """How many images, label maps, .txt or .json files have this stem; more than 1 is a duplicate."""
    cut: bool
    """Whether the tar ends within one of its members."""


@dataclass(frozen=True, slots=True)
class TarListing:
    """What one tar holds."""

    samples: tuple[TarSample, ...]
    """By stem, in the order of the stems."""
    cut: TarCut | None


@dataclass(frozen=True, slots=True)
class Stated:
    """What every row of a data set holds, since readers take the fields of a sample from the first ones."""

    scores: tuple[str, ...]
    """The names of the numeric columns, sorted; `NO_SCORES` are left out."""
    facts: Mapping[str, type[str] | type[int]]
    """Some of `FACTS`, and as what: whole numbers of 64 bits, or texts if any is no such number."""


@dataclass(slots=True)
class _Found:
    images: list[TarMember] = field(default_factory=list)
    label_maps: list[TarMember] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    descriptions: list[bytes] = field(default_factory=list)
    cut: bool = False


def list_tar(
    file: BinaryIO, image_extensions: Sequence[str], caption_column: str, label_extension: str = ""
) -> TarListing:
    """List the samples of a tar, reading headers and the .txt and .json members only.

    Members with other extensions, hidden ones and links are no part of a sample; a stem with none left is no sample.
    The caption is the .txt's, else that of `caption_column` of the .json, a string or a list of strings. With
    `label_extension`, members of that extension are label maps.
    """
    extensions = {*TEXT_EXTENSIONS, *image_extensions, *filter(None, [label_extension])}
    found: dict[str, _Found] = {}
    cut: TarCut | None = None
    for member in read_members(file):
        name = member.member if isinstance(member, TarCut) else member.name
        stem, extension = split_name(name)
        if isinstance(member, TarCut):
            cut = member
        if not stem or extension not in extensions:
            continue
        sample = found.setdefault(stem, _Found())
        if isinstance(member, TarCut):
            sample.cut = True
        elif extension in image_extensions:
            sample.images.append(member)
        elif extension == label_extension:
            sample.label_maps.append(member)
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


def stated_by(samples: Sequence[TarSample]) -> Stated:
    """The numbers and facts that any of the samples has."""
    numbers = {name for sample in samples for name, _ in _numbers(sample.columns)}
    facts = {name: [fact for sample in samples if (fact := _fact(sample.columns, name)) != ""] for name in FACTS}
    kinds = {
        name: int if all(isinstance(each, int) for each in found) else str for name, found in facts.items() if found
    }
    return Stated(tuple(sorted(numbers)), kinds)


def scores_of(columns: Mapping[str, object], stated: Stated) -> dict[str, float]:
    """The numbers of a sample under exactly these names; NaN where it has none."""
    numbers = dict(_numbers(columns))
    return {name: numbers.get(name, math.nan) for name in stated.scores}


def facts_of(columns: Mapping[str, object], stated: Stated) -> dict[str, str | int]:
    """The facts of a sample under exactly these names, of these types; "" or 0 where it states none of the type."""
    facts: dict[str, str | int] = {}
    for name, kind in stated.facts.items():
        fact = _fact(columns, name)
        facts[name] = str(fact) if kind is str else fact if isinstance(fact, int) else 0
    return facts


def text_column(columns: Mapping[str, object], name: str) -> str:
    """A text of a sample, or the digits of a whole number, by its column's name in any case; empty if none."""
    return str(_fact(columns, name))


def _fact(columns: Mapping[str, object], name: str) -> str | int:
    """A text or a whole number, as a text beyond 64 bits; img2dataset keeps LAION's LICENSE in capitals."""
    for each, value in columns.items():
        if each.lower() == name:
            if type(value) is int:
                return value if value in INT64 else str(value)
            if isinstance(value, str) and is_unicode(value):
                return value
    return ""


def size_column(columns: Mapping[str, object], name: str) -> int:
    """A size in pixels; 0 if the sample does not say."""
    value = columns.get(name)
    return value if type(value) is int and 0 < value < 2**31 else 0


def _numbers(columns: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    for name, value in columns.items():
        if type(value) in (int, float) and name.lower() not in NO_SCORES and is_unicode(name):
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
        label_maps=tuple(found.label_maps),
        captions=captions or captions_of_value(columns.get(caption_column)),
        columns=columns,
        copies=max(len(found.images), len(found.label_maps), len(found.texts), len(found.descriptions)),
        cut=found.cut,
    )


def _columns(description: bytes) -> Mapping[str, object]:
    try:
        columns = json.loads(description)
    except (ValueError, RecursionError):
        return {}
    return columns if isinstance(columns, dict) else {}
