"""One file of annotations in COCO's layout, as anybody writes it.

    {"images": [{"id", "file_name", ...}], "annotations": [{"image_id", ...}], "licenses": [{"id", "name", "url"}]}

Ids may be numbers or texts and are compared as `stages.sources.values.identity` reads them. What COCO's own files have
besides (info, categories) may be missing; licences may also be a table of id to name, names alone, or written out in
each image.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.errors import SourceError
from stages.sources.json_file import read_json
from stages.sources.values import Identity, identity, text_of_value


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """What a file says of each image."""

    images: tuple[tuple[Identity, Mapping[str, object]], ...]
    """In the order of their ids: numbers, then texts."""
    annotations: Mapping[Identity, Sequence[Mapping[str, object]]]
    """By the image's id."""
    licenses: Mapping[Identity, str]


def read_annotations(path: Path, advice: str) -> AnnotationFile:
    """Read a file of annotations; SourceError, with advice, if it is missing, malformed or of another layout."""
    content = read_json(path, "COCO's annotation file", advice)
    if not isinstance(content, dict):
        raise SourceError(f"{path} must have COCO's layout, got {_shown(content)}; download it again")
    images = []
    for image in _entries(path, content, "images"):
        number = identity(image.get("id"))
        if number is None or not isinstance(image.get("file_name"), str):
            got = _shown(image)
            raise SourceError(f"{path} images must each have an id and a file_name, got {got}; download it again")
        images.append((number, image))
    if not images:
        raise SourceError(f"{path} images must each have an id and a file_name, got no images; download it again")
    annotations: defaultdict[Identity, list[Mapping[str, object]]] = defaultdict(list)
    for annotation in _entries(path, content, "annotations"):
        owner = identity(annotation.get("image_id"))
        if owner is None:
            raise SourceError(
                f"{path} annotations must each have an image_id, got {_shown(annotation)}; download it again"
            )
        annotations[owner].append(annotation)
    images.sort(key=lambda image: (isinstance(image[0], str), image[0]))
    stated = (image.get("license") for _, image in images)
    return AnnotationFile(tuple(images), dict(annotations), _licenses(path, content.get("licenses"), stated))


def _entries(path: Path, content: Mapping[str, object], name: str) -> Sequence[Mapping[str, object]]:
    entries = content.get(name)
    if isinstance(entries, list) and all(isinstance(each, dict) for each in entries):
        return entries
    got = f"no {name}" if entries is None else _shown(entries)
    raise SourceError(f"{path} {name} must be a list of JSON objects, got {got}; download it again")


def _licenses(path: Path, found: object, stated: Iterable[object]) -> dict[Identity, str]:
    """Id to name and URL. Of names alone the position is the id: from 0 if an image says 0, else from 1, as COCO's."""
    if isinstance(found, dict):
        return {known: _license(entry) for each, entry in found.items() if (known := identity(each)) is not None}
    if not isinstance(found, list):
        return {}
    if found and all(isinstance(entry, str) for entry in found):
        numbers = {number for each in stated if isinstance(number := identity(each), int)}
        if numbers and not {0, len(found)} & numbers:
            raise SourceError(
                f"{path} licenses must each have an id and a name, got names alone and no image that has the first or "
                'the last of them; write {"id": 1, "name": "CC BY"} for each'
            )
        return {number: text_of_value(name) for number, name in enumerate(found, start=0 if 0 in numbers else 1)}
    entries = [entry for entry in found if isinstance(entry, dict)]
    return {known: _license(entry) for entry in entries if (known := identity(entry.get("id"))) is not None}


def _license(entry: object) -> str:
    if not isinstance(entry, dict):
        return text_of_value(entry)
    name, url = text_of_value(entry.get("name")), text_of_value(entry.get("url"))
    return f"{name} ({url})" if name and url else name or url


def _shown(value: object) -> str:
    return ascii(value)[:120]
