"""The samples of one tar: its members by the stem of their names, in any order.

    000/17.jpg   000/17.txt   000/17.json   ──>   sample "000/17": where the image lies, captions, columns

The stem ends at the first dot of a file's name, as in webdataset (`base_plus_ext`): 17.depth.png belongs to 17. Only
where an image and its caption share a name with a dot in it, and no other member has the part before, is that name the
stem: 22.05.png and 22.05.txt are sample "22.05". Which image belongs to which caption cannot be known where a stem has
two of one kind, so all of these are duplicates. Members that belong to no sample are counted by their suffixes.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from stages.locations import is_hidden
from stages.records import FACTS
from stages.sources.caption_text import MOST_CAPTION_BYTES, MOST_TEXT_BYTES, caption_of_file, captions_of_value
from stages.sources.image_suffixes import IMAGE_SUFFIXES
from stages.sources.index.dropped import pass_over
from stages.sources.index.names import is_unicode, normal_name
from stages.sources.webdataset.tar_members import TarCut, TarMember, read_members

NO_SCORES = frozenset({"width", "height", "original_width", "original_height", "license", "url", "source_url", *FACTS})
"""Columns of img2dataset's .json that measure nothing, also where they hold numbers; in lower case."""
INT64 = range(-(2**63), 2**63)
TEXT_EXTENSIONS = ("txt", "json")
MOST_COLUMNS = 1000


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
    passed_over: Counter[str]
    """Members of no sample, by their suffixes."""


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
    other_images: list[TarMember] = field(default_factory=list)
    label_maps: list[TarMember] = field(default_factory=list)
    texts: list[tuple[str, ...]] = field(default_factory=list)
    descriptions: list[Mapping[str, object]] = field(default_factory=list)
    cut: bool = False


def list_tar(
    file: BinaryIO,
    image_extensions: Sequence[str],
    caption_column: str,
    label_extension: str = "",
    is_any_image_good: bool = False,
) -> TarListing:
    """List the samples of a tar, reading headers and the .txt and .json members only.

    Members with other extensions, hidden ones and links are no part of a sample; a stem with none left is no sample. Of
    `image_extensions` a sample has its image, or, with `is_any_image_good`, one of another if it has none of these.
    The caption is the .txt's, else that of `caption_column` of the .json, a string or a list of strings. With
    `label_extension`, members of that extension are label maps.
    """
    kinds = _Kinds(image_extensions, label_extension, caption_column, is_any_image_good=is_any_image_good)
    found: dict[str, _Found] = {}
    dotted: dict[str, list[TarMember]] = {}
    passed_over = Counter[str]()
    cut: TarCut | None = None
    for member in read_members(file):
        name = member.member if isinstance(member, TarCut) else member.name
        stem, extension = split_name(name)
        if isinstance(member, TarCut):
            cut = member
        if not stem or not kinds.knows(extension):
            if isinstance(member, TarMember) and stem:
                dotted.setdefault(stem, []).append(member)
            continue
        sample = found.setdefault(stem, _Found())
        if isinstance(member, TarCut):
            sample.cut = True
        else:
            _add(sample, extension, member, file, kinds)
    for stem, members in dotted.items():
        taken = {} if stem in found else _by_whole_names(members, kinds)
        for member in members:
            whole, extension = split_whole_name(member.name)
            if whole in taken:
                _add(taken[whole], extension, member, file, kinds)
            else:
                pass_over(passed_over, member.name, "members")
        found |= taken
    samples = tuple(_sample(stem, found[stem], kinds) for stem in sorted(found))
    return TarListing(samples, cut, passed_over)


@dataclass(frozen=True, slots=True)
class _Kinds:
    """What a member is by the extension of its name, and which column of a .json holds captions."""

    images: Sequence[str]
    labels: str
    captions: str
    is_any_image_good: bool

    def knows(self, extension: str) -> bool:
        return extension in {*TEXT_EXTENSIONS, *self.images, self.labels} - {""} or self.is_other_image(extension)

    def is_other_image(self, extension: str) -> bool:
        """Whether it is an image's that is taken where a sample has none of `images`."""
        return self.is_any_image_good and f".{extension}" in IMAGE_SUFFIXES


def _by_whole_names(members: Sequence[TarMember], kinds: _Kinds) -> dict[str, _Found]:
    """The stems, up to the last dot, under which there is an image with a text."""
    extensions: defaultdict[str, set[str]] = defaultdict(set)
    for member in members:
        whole, extension = split_whole_name(member.name)
        extensions[whole].add(extension)
    images = {extension for found in extensions.values() for extension in found if kinds.knows(extension)}
    images -= {*TEXT_EXTENSIONS, kinds.labels}
    return {
        whole: _Found()
        for whole, found in extensions.items()
        if whole and found & images and found & {*TEXT_EXTENSIONS}
    }


def _add(sample: _Found, extension: str, member: TarMember, file: BinaryIO, kinds: _Kinds) -> None:
    """Put a member into its sample, and read it if it is a text."""
    if extension == kinds.labels:
        sample.label_maps.append(member)
    elif extension in kinds.images:
        sample.images.append(member)
    elif extension == "txt":
        sample.texts.append(caption_of_file(_read(file, member)))
    elif extension == "json":
        sample.descriptions.append(_columns(_read(file, member), kinds.captions))
    elif kinds.is_other_image(extension):
        sample.other_images.append(member)


def split_name(name: str) -> tuple[str, str]:
    """Split a member's name at the first dot after the last slash: stem, lower-case extension; empty if hidden.

    The stem is normal, or as it is if `normal_name` refuses it.
    """
    if is_hidden(name):
        return "", ""
    folder, slash, last = name.rpartition("/")
    base, _, extension = last.partition(".")
    stem = folder + slash + base
    return (normal_name(stem) or stem, extension.lower()) if base else ("", "")


def split_whole_name(name: str) -> tuple[str, str]:
    """Split a member's name at its last dot: stem, lower-case extension."""
    folder, slash, last = name.rpartition("/")
    base, _, extension = last.rpartition(".")
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


def _sample(stem: str, found: _Found, kinds: _Kinds) -> TarSample:
    columns = found.descriptions[0] if found.descriptions else {}
    images = found.images or found.other_images
    captions = found.texts[0] if found.texts else ()
    return TarSample(
        stem=stem,
        images=tuple(images),
        label_maps=tuple(found.label_maps),
        captions=captions or captions_of_value(columns.get(kinds.captions)),
        columns=columns,
        copies=max(len(images), len(found.label_maps), len(found.texts), len(found.descriptions)),
        cut=found.cut,
    )


def _columns(description: bytes, caption_column: str) -> Mapping[str, object]:
    """The captions, texts and numbers of a .json; nothing of one with more columns than an image has properties."""
    try:
        columns = json.loads(description)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(columns, dict) or len(columns) > MOST_COLUMNS:
        return {}
    kept = {name: value for name, value in columns.items() if _is_small(value)}
    return kept | {caption_column: list(captions_of_value(columns.get(caption_column)))}


def _is_small(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= MOST_CAPTION_BYTES)
