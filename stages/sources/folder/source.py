"""A folder of images with their captions beside them.

    root/cats/1.JPG                 an image: any suffix that Pillow opens, in any case, at any depth
    root/cats/1.txt, 1.caption      its captions: each file is one, white space collapsed
    root/metadata.jsonl, .csv, ...  or a line for each image: file_name and text or caption
    labels_root/cats/1.png          its label map, if labels_root is given

Rows come in the order of the relative paths. An image without caption is listed with its rejection; an image that only
a metadata file names is a candidate, and a rejection once it turns out not to be there. Files that are no part of a
candidate are counted by their suffixes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Annotated, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from stages.errors import SourceError
from stages.locations import driver_errors, file_system
from stages.records import IndexRow, Reason, Rejection
from stages.settings import Mark, Settings
from stages.sources.caption_text import MOST_TEXT_BYTES, caption_of_file, captions_of_value
from stages.sources.folder.listing import list_files, read_files
from stages.sources.folder.metadata import METADATA_FILES, read_metadata
from stages.sources.image_suffixes import IMAGE_SUFFIXES
from stages.sources.index.dropped import pass_over
from stages.sources.index.names import hashed_key, normal_name, written_name
from stages.sources.index.schema import NO_KEYPOINTS, to_batches
from stages.sources.label_names import read_label_names

SIDECAR_SUFFIXES = (".txt", ".caption")


class FolderSource(Settings):
    """Image files below one directory."""

    kind: Literal["folder"] = "folder"
    root: Annotated[str, Mark.PLACE]
    """The directory, local or any fsspec URL."""
    split: str = "train"
    """The split that these images are."""
    caption_column: str = ""
    """The column of metadata.jsonl or metadata.csv that holds captions; empty takes `text` or `caption`."""
    labels_root: Annotated[str, Mark.PLACE] = ""
    """The directory of the label maps, local or any fsspec URL: that of cats/1.jpg is cats/1.png there. Empty: none."""
    labels_file: Annotated[str, Mark.PLACE] = ""
    """Names the categories in lines of `<category id>: <name>`; empty leaves them without names."""
    label_offset: int = Field(default=0, ge=0, le=255)
    """Added to the pixels of a label map, modulo 256, to give category ids, of which 0 is unlabelled."""

    @model_validator(mode="after")
    def _images_and_labels_lie_apart(self) -> Self:
        if self.labels_root and self.labels_root.rstrip("/") == self.root.rstrip("/"):
            raise ValueError(f"labels_root must be another directory than root, got {self.labels_root!r} for both")
        return self

    @property
    def base_uri(self) -> str:
        return self.root

    @property
    def label_base_uri(self) -> str:
        return self.labels_root

    @property
    def lacks_keypoints(self) -> str:
        return f"source.kind = {self.kind}, which has none"

    @property
    def labels(self) -> Mapping[int, str]:
        return read_label_names(self.labels_file, "fix source.labels_file") if self.labels_file else {}

    def batches(self) -> Iterator[pa.RecordBatch]:
        if self.labels_root and not _is_directory(self.labels_root):
            raise SourceError(f"{self.labels_root} must be a directory of label maps, got none; fix source.labels_root")
        passed_over = Counter[str]()
        return to_batches(self._rows(passed_over), passed_over)

    def _rows(self, passed_over: Counter[str]) -> Iterator[IndexRow]:
        names = self._without_labels(list_files(self.root))
        listed = self._listed(names)
        sidecars = _sidecars(names)
        images = (name for name in names if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES)
        candidates = sorted({*images, *listed})
        self._pass_over(names, candidates, passed_over)
        stems = Counter(map(_stem, candidates)) if self.labels_root else Counter[str]()
        beside = {name: () if listed.get(name) else sidecars.get(_stem(name), ()) for name in candidates}
        with closing(read_files(self.root, chain.from_iterable(beside.values()), MOST_TEXT_BYTES)) as contents:
            for name in candidates:
                captions = listed.get(name) or tuple(
                    chain.from_iterable(caption_of_file(next(contents)) for _ in beside[name])
                )
                yield _row(name, captions, _uri(f"{_stem(name)}.png") if self.labels_root else "", stems[_stem(name)])

    def _without_labels(self, names: list[str]) -> list[str]:
        """The files below root but for the label maps, if these lie below it as well."""
        if not self.labels_root:
            return names
        root, labels_root = (normpath(file_system(each)[1]) for each in (self.root, self.labels_root))
        return [name for name in names if not f"{root}/{name}".startswith(f"{labels_root}/")]

    def _listed(self, names: list[str]) -> dict[str, tuple[str, ...]]:
        """What the metadata files say: an image's relative path to its captions."""
        listed: defaultdict[str, list[str]] = defaultdict(list)
        files = [name for name in names if PurePosixPath(name).name in METADATA_FILES]
        there = frozenset(names)
        for name in files:
            folder = name.rpartition("/")[0]
            for image, captions in read_metadata(self.root, name, self.caption_column):
                places = [
                    f"{folder}/{below}".lstrip("/") for below in (normal_name(image), written_name(image)) if below
                ]
                # A backslash is a part of a name if there is such a file, else Windows' way to write a slash.
                path = next((place for place in places if place in there), places[-1] if places else image)
                listed[path] += captions
        return {path: captions_of_value(captions) for path, captions in listed.items()}

    def _pass_over(self, names: list[str], candidates: list[str], passed_over: Counter[str]) -> None:
        """Count the files that are neither candidates nor say anything about one."""
        used, stems = frozenset(candidates), frozenset(map(_stem, candidates))
        for name in names:
            is_sidecar = name.lower().endswith(SIDECAR_SUFFIXES) and _stem(name) in stems
            if name not in used and not is_sidecar and PurePosixPath(name).name not in METADATA_FILES:
                pass_over(passed_over, name, "files")


def _sidecars(names: list[str]) -> dict[str, tuple[str, ...]]:
    """The sidecar files by the path without suffix that they share with their image."""
    sidecars: dict[str, tuple[str, ...]] = {}
    for suffix in SIDECAR_SUFFIXES:
        for name in names:
            if name.lower().endswith(suffix):
                sidecars[_stem(name)] = (*sidecars.get(_stem(name), ()), name)
    return sidecars


def _is_directory(location: str) -> bool:
    files, path = file_system(location)
    try:
        with driver_errors():
            return bool(files.isdir(path))
    except OSError as error:
        raise SourceError(f"{location} must be readable, got {error}; fix the storage and run again") from None


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _row(name: str, captions: tuple[str, ...], label_uri: str, sharing: int) -> IndexRow:
    """A row of the index; `sharing` is how many images would take that label map for theirs."""
    key = hashed_key(name)
    good = normal_name(name) == name
    rejection = None
    if not good:
        rejection = Rejection(
            key, Reason.BAD_NAME, f"{name!r} must be a plain relative path in UTF-8; rename the image or fix its line"
        )
    elif not captions:
        rejection = Rejection(key, Reason.NO_CAPTION, f"{name!r} has no caption in a UTF-8 sidecar or a metadata file")
    elif sharing > 1:
        detail = f"{name!r} must have a label map of its own, got {label_uri} for {sharing} images; rename the others"
        rejection = Rejection(key, Reason.BAD_LABELS, detail)
    return IndexRow(
        key=key,
        image_uri=_uri(name) if good else "",
        captions=captions,
        source_url="",
        license="",
        width=0,
        height=0,
        keypoints=NO_KEYPOINTS,
        label_uri=label_uri if good else "",
        scores={},
        rejection=rejection,
    )


def _uri(name: str) -> str:
    """A relative path as a URI; `./` keeps a first part with a colon from being read as a scheme (RFC 3986, 4.2)."""
    return f"./{name}" if ":" in name.partition("/")[0] else name
