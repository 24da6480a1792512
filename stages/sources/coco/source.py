"""COCO 2017 in its official layout, or any other collection in it.

    root/annotations/captions_<split>.json            captions, licences, flickr URLs
    root/annotations/person_keypoints_<split>.json    17 keypoints a person
    root/<split>/000000000139.jpg

Rows come in the order of the image ids. An image without caption, or whose name leads out of its folder, is listed with
its rejection, so that counts add up (the index rejects duplicate ids); a missing or malformed file of annotations is an
error.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa

from stages.errors import SourceError
from stages.records import Float32Array, IndexRow, Reason, Rejection
from stages.settings import Mark, Settings
from stages.sources.caption_text import captions_of_value
from stages.sources.coco.annotations import AnnotationFile, read_annotations
from stages.sources.index.names import hashed_key, written_name
from stages.sources.index.schema import NO_KEYPOINTS, to_batches
from stages.sources.values import Identity, identity, pixels_of_value, text_of_value

KEYPOINTS = 17


class CocoSource(Settings):
    """The COCO 2017 photographs with five captions each."""

    kind: Literal["coco"] = "coco"
    root: Annotated[str, Mark.PLACE]
    """The directory that holds annotations/ and the splits."""
    split: str = "train2017"
    """train2017 or val2017: the name of a folder and the ending of the annotation files."""
    keypoints: bool = True
    """Read the annotated persons, if person_keypoints_<split>.json is there."""

    @property
    def base_uri(self) -> str:
        return self.root

    @property
    def label_base_uri(self) -> str:
        return self.base_uri

    @property
    def label_offset(self) -> int:
        return 0

    @property
    def lacks_keypoints(self) -> str:
        return missing_persons(self.root, self.split, self.keypoints)

    @property
    def labels(self) -> Mapping[int, str]:
        return {}

    def batches(self) -> Iterator[pa.RecordBatch]:
        return to_batches(list_coco(self.root, self.split, self.keypoints))


def list_coco(root: str, split: str, keypoints: bool) -> Iterator[IndexRow]:
    """List one split in the order of the image ids; SourceError if its folder or a file is missing or malformed."""
    if not (Path(root) / split).is_dir():
        raise SourceError(
            f"{Path(root) / split} must be the directory of the photographs, got none; `condset fetch coco17 --split"
            f" {split} --out {root}` brings them, or set source.split to one that is there"
        )
    folder, fetch = Path(root) / "annotations", f"`condset fetch coco17 --out {root}` brings it"
    captions = read_annotations(folder / f"captions_{split}.json", fetch)
    persons = None
    if not missing_persons(root, split, keypoints):
        persons = read_annotations(_persons_file(root, split), fetch)
    for number, image in captions.images:
        try:
            yield _row(number, image, split, captions, persons)
        except ValueError as error:
            place = f"image {number} of {split} in {folder}"
            raise SourceError(f"{place} must be described as in COCO, got {error}; fix the files") from None


def missing_persons(root: str, split: str, keypoints: bool) -> str:
    """Say why a split has no annotated persons; empty if it has."""
    path = _persons_file(root, split)
    if keypoints and path.exists():
        return ""
    return f"no {path}; `condset fetch coco17 --out {root}` brings it" if keypoints else "source.keypoints = false"


def _persons_file(root: str, split: str) -> Path:
    return Path(root) / "annotations" / f"person_keypoints_{split}.json"


def _row(
    number: Identity,
    image: Mapping[str, object],
    split: str,
    captions: AnnotationFile,
    persons: AnnotationFile | None,
) -> IndexRow:
    texts = captions_of_value(
        [text for each in captions.annotations.get(number, ()) for text in captions_of_value(each.get("caption"))]
    )
    key = f"{number:012d}" if isinstance(number, int) else hashed_key(number)
    file_name = str(image["file_name"])
    name = written_name(file_name)
    rejection = None
    if name is None:
        detail = f"file_name {file_name!r} must be a plain relative path in UTF-8; fix it in captions_{split}.json"
        rejection = Rejection(key, Reason.BAD_NAME, detail)
    elif not texts:
        detail = f"captions_{split}.json has no caption for image {number}"
        rejection = Rejection(key, Reason.NO_CAPTION, detail)
    return IndexRow(
        key=key,
        image_uri="" if name is None else f"{split}/{name}",
        captions=texts,
        source_url=text_of_value(image.get("flickr_url")) or text_of_value(image.get("coco_url")),
        license=_license(image.get("license"), captions.licenses),
        width=pixels_of_value(image.get("width")),
        height=pixels_of_value(image.get("height")),
        keypoints=_keypoints(persons.annotations.get(number, ())) if persons else NO_KEYPOINTS,
        label_uri="",
        scores={},
        rejection=rejection,
    )


def _license(stated: object, licenses: Mapping[Identity, str]) -> str:
    """The licence that an image names: by its id, or in words of its own."""
    number = identity(stated)
    if number is None:
        return ""
    return licenses.get(number, number if isinstance(number, str) else "")


def _keypoints(persons: Sequence[Mapping[str, object]]) -> Float32Array:
    """The annotated persons of one image, (persons, 17, 3): visibility 0 is score 0, visibility 1 and 2 are score 1.

    Crowds are skipped: their box stands for many people and their keypoints are empty.
    """
    people = [_person(person.get("keypoints")) for person in persons if not person.get("iscrowd")]
    seen = [person for person in people if person.any()]
    return np.stack(seen) if seen else NO_KEYPOINTS


def _person(keypoints: object) -> Float32Array:
    """One person, (17, 3) or empty; a keypoint without finite coordinates is one that was not annotated."""
    if keypoints is None or keypoints == []:
        return np.zeros(0, np.float32)
    try:
        numbers = np.asarray(keypoints, np.float64).ravel()
    except (TypeError, ValueError):
        raise ValueError(f"a person with keypoints {ascii(keypoints)[:80]}") from None
    if len(numbers) != 3 * KEYPOINTS:
        raise ValueError(f"a person with {len(numbers)} numbers, where {KEYPOINTS} keypoints have {3 * KEYPOINTS}")
    person = numbers.reshape(KEYPOINTS, 3).astype(np.float32)
    person[~np.isfinite(person).all(axis=1)] = 0
    person[:, 2] = person[:, 2] > 0
    return person
