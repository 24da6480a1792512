"""COCO 2017 in its official layout, read by pycocotools.

    root/annotations/captions_<split>.json            captions, licences, flickr URLs
    root/annotations/person_keypoints_<split>.json    17 keypoints a person
    root/<split>/000000000139.jpg

Rows come in the order of the image ids. An image without caption is listed with its rejection, so that counts add up
(the index rejects duplicate ids); a missing or malformed file of annotations is an error.
"""

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pyarrow as pa

from stages.errors import SourceError
from stages.records import Float32Array, IndexRow, Reason, Rejection
from stages.settings import Mark, Settings
from stages.sources.caption_text import captions_of_value
from stages.sources.index.schema import NO_KEYPOINTS, to_batches

if TYPE_CHECKING:
    from pycocotools.coco import COCO

KEYPOINTS = 17


class CocoSource(Settings):
    """The COCO 2017 photographs with five captions each."""

    kind: Literal["coco"] = "coco"
    root: Annotated[str, Mark.PLACE]
    """The directory that holds annotations/ and the splits."""
    split: str = "train2017"
    """train2017 or val2017: the name of a folder and the ending of the annotation files."""
    keypoints: bool = True
    """Read the annotated persons; false if person_keypoints_<split>.json is not there."""

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
    captions = _read(root, f"captions_{split}.json")
    persons = _read(root, f"person_keypoints_{split}.json") if keypoints else None
    licenses = {entry.get("id"): _license(entry) for entry in captions.dataset.get("licenses") or []}
    for image in sorted(captions.dataset["images"], key=lambda image: int(image["id"])):
        try:
            row = _row(image, split, captions, persons, licenses)
        except (KeyError, TypeError, ValueError) as error:
            place = f"image {image['id']} of {split} in {root}/annotations"
            raise SourceError(f"{place} must be described as in COCO, got {error}; fix the files") from None
        yield row


def _read(root: str, name: str) -> "COCO":
    """Open one annotation file with pycocotools, silently; SourceError if it is missing or of another layout."""
    from pycocotools.coco import COCO

    path = Path(root) / "annotations" / name
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            annotations = COCO(str(path))
    except FileNotFoundError:
        fix = ", or set source.keypoints = false" if "keypoints" in name else ""
        raise SourceError(
            f"{path} must be COCO's annotation file, got no file; `condset fetch coco17 --out {root}` brings it{fix}"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} must be JSON, got {error}; download it again") from None
    except (KeyError, TypeError, AssertionError) as error:
        raise SourceError(f"{path} must have COCO's layout, got {error!r}; download it again") from None
    for image in annotations.dataset.get("images", [None]):
        if not (isinstance(image, dict) and "file_name" in image and isinstance(image.get("id"), int)):
            got = "no images" if image is None else repr(image)[:120]
            raise SourceError(f"{path} images must each have an id and a file_name, got {got}; download it again")
    return annotations


def _license(entry: Mapping[str, str]) -> str:
    name, url = entry.get("name") or "", entry.get("url") or ""
    return f"{name} ({url})" if name and url else name or url


def _row(
    image: Mapping[str, str | int],
    split: str,
    captions: "COCO",
    persons: "COCO | None",
    licenses: Mapping[int, str],
) -> IndexRow:
    image_id = int(image["id"])
    texts = captions_of_value([caption.get("caption") for caption in captions.imgToAnns.get(image_id, [])])
    key = f"{image_id:012d}"
    no_caption = Rejection(key, Reason.NO_CAPTION, f"captions_{split}.json has no caption for image {image_id}")
    return IndexRow(
        key=key,
        image_uri=f"{split}/{image['file_name']}",
        captions=texts,
        source_url=str(image.get("flickr_url") or image.get("coco_url") or ""),
        license=licenses.get(int(image.get("license") or 0), ""),
        width=int(image.get("width") or 0),
        height=int(image.get("height") or 0),
        keypoints=_keypoints(persons, image_id) if persons else NO_KEYPOINTS,
        label_uri="",
        scores={},
        rejection=None if texts else no_caption,
    )


def _keypoints(persons: "COCO", image_id: int) -> Float32Array:
    """The annotated persons of one image, (persons, 17, 3): visibility 0 is score 0, visibility 1 and 2 are score 1.

    Crowds are skipped: their box stands for many people and their keypoints are empty.
    """
    people = [
        _person(person["keypoints"])
        for person in persons.imgToAnns.get(image_id, [])
        if not person.get("iscrowd") and any(person.get("keypoints") or ())
    ]
    if not people:
        return NO_KEYPOINTS
    stacked = np.stack(people)
    stacked[..., 2] = (stacked[..., 2] > 0).astype(np.float32)
    return stacked


def _person(numbers: list[float]) -> Float32Array:
    if len(numbers) != 3 * KEYPOINTS:
        raise ValueError(f"a person with {len(numbers)} numbers, where {KEYPOINTS} keypoints have {3 * KEYPOINTS}")
    return np.asarray(numbers, np.float32).reshape(KEYPOINTS, 3)
