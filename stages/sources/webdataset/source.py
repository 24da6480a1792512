"""Tars of images with captions: what img2dataset writes, webdataset reads, and condset's own shards.

    root/00000.tar: 000000000.jpg, 000000000.txt, 000000000.json (, 000000000.seg.png), 000000001.jpg, ...

One pass over each tar lists its samples; the images are read in place later, each by one range of its tar. Rows come in
the order of the tars and of the stems in them, whatever the order of the members: every sample whose image and caption
are there is a candidate, every other is listed with its rejection, and so is what a cut tar has lost.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from stages.errors import SourceError
from stages.locations import file_system
from stages.records import IndexRow, Reason, Rejection
from stages.settings import Mark, Settings
from stages.sources.index.names import hashed_key, normal_name
from stages.sources.index.schema import NO_KEYPOINTS, to_batches
from stages.sources.label_names import read_label_names
from stages.sources.values import pixels_of_value
from stages.sources.webdataset.samples import (
    MOST_COLUMNS,
    TEXT_EXTENSIONS,
    Stated,
    TarSample,
    facts_of,
    list_tar,
    scores_of,
    stated_by,
    text_column,
)
from stages.sources.webdataset.tar_files import find_tars, open_tar
from stages.sources.webdataset.tar_members import TarCut, member_uri

USUAL_IMAGES = ("jpg", "jpeg", "png", "webp")
LICENSE_NOT_STATED = "?"
"""What LAION, and so img2dataset's .json of it, has for nearly every licence."""


class WebDatasetSource(Settings):
    """Images and captions in uncompressed tar files."""

    kind: Literal["webdataset"] = "webdataset"
    root: Annotated[str, Mark.PLACE]
    """The directory that holds the tars, local or any fsspec URL."""
    tars: str | tuple[str, ...] = "*.tar"
    """The tars below root: one name or several, with braces ({00000..00041}.tar) or glob patterns (**/*.tar)."""
    split: str = "train"
    """The split that these samples are."""
    image_extensions: tuple[str, ...] = USUAL_IMAGES
    """What follows the first dot of an image's name, in lower case; name one alone if samples have several images. By
    default an image with another suffix that Pillow opens is taken where a sample has none of these."""
    caption_column: str = "caption"
    """The column of the .json that holds the caption, or a list of captions, where there is no .txt."""
    label_extension: str = ""
    """What follows the first dot of a label map's name, in lower case, such as seg.png; empty: there are none."""
    labels_file: Annotated[str, Mark.PLACE] = ""
    """Names the categories in lines of `<category id>: <name>`; empty leaves them without names."""
    label_offset: int = Field(default=0, ge=0, le=255)
    """Added to the pixels of a label map, modulo 256, to give category ids, of which 0 is unlabelled."""

    @model_validator(mode="after")
    def _label_maps_are_no_other_member(self) -> Self:
        others = (*self.image_extensions, *TEXT_EXTENSIONS)
        if self.label_extension in others:
            raise ValueError(f"label_extension must be none of {', '.join(others)}, got {self.label_extension!r}")
        return self

    @property
    def base_uri(self) -> str:
        return self.root

    @property
    def label_base_uri(self) -> str:
        return self.root

    @property
    def lacks_keypoints(self) -> str:
        return f"source.kind = {self.kind}, which has none"

    @property
    def labels(self) -> Mapping[int, str]:
        return read_label_names(self.labels_file, "fix source.labels_file") if self.labels_file else {}

    def batches(self) -> Iterator[pa.RecordBatch]:
        passed_over = Counter[str]()
        return to_batches(self._rows(passed_over), passed_over)

    def _rows(self, passed_over: Counter[str]) -> Iterator[IndexRow]:
        """List every tar. What the first tar's .json files state, scores and facts, every row has."""
        stated: Stated | None = None
        files, root = file_system(self.root)
        for tar in find_tars(files, root, self.root, (self.tars,) if isinstance(self.tars, str) else self.tars):
            with open_tar(files, root, self.root, tar) as file:
                listing = list_tar(
                    file,
                    self.image_extensions,
                    self.caption_column,
                    self.label_extension,
                    is_any_image_good=self.image_extensions == USUAL_IMAGES,
                )
            passed_over.update(listing.passed_over)
            if stated is None:
                stated = stated_by(listing.samples)
                if len(stated.scores) > MOST_COLUMNS:
                    raise SourceError(
                        f"{self.root.rstrip('/')}/{tar} samples must state at most {MOST_COLUMNS} numbers each, got "
                        f"{len(stated.scores)} of different names; leave the tar out"
                    )
            for sample in listing.samples:
                rejection = self._reject(tar, sample, listing.cut)
                row = _row(tar, sample, stated, rejection)
                yield from [row] * max(1, sample.copies)
            if listing.cut is not None:
                yield _row_of_cut(tar, listing.cut, stated)

    def _reject(self, tar: str, sample: TarSample, cut: TarCut | None) -> Rejection | None:
        key, name = _key(tar, sample.stem), f"{tar} sample {sample.stem!r}"
        kinds = "|".join(self.image_extensions)
        if normal_name(sample.stem) is None:
            return Rejection(key, Reason.BAD_NAME, f"{name} must be named by a plain relative path in UTF-8")
        is_labelled = bool(sample.label_maps) or not self.label_extension
        if cut is not None and (sample.cut or not (sample.images and sample.captions and is_labelled)):
            return Rejection(key, Reason.TRUNCATED, f"{name} must be complete, but {tar} {cut.detail}")
        if sample.copies > 1:
            labels = f"one {self.label_extension}, " if self.label_extension else ""
            detail = f"{name} must have one image ({kinds}), {labels}one txt, one json, got {sample.copies} of a kind"
            return Rejection(key, Reason.DUPLICATE_KEY, f"{detail}; see source.image_extensions")
        if not sample.images:
            return Rejection(key, Reason.MISSING_FILE, f"{name} must have an image ({kinds}), got none")
        if not sample.captions:
            return Rejection(
                key, Reason.NO_CAPTION, f"{name} has no caption in a UTF-8 txt or in json {self.caption_column!r}"
            )
        if not is_labelled:
            return Rejection(key, Reason.MISSING_LABELS, f"{name} must have a {self.label_extension}, got none")
        return None


def _key(tar: str, stem: str) -> str:
    """Name a sample by its tar and its stem: tars of several collections may both begin at 000000000."""
    return hashed_key(f"{tar}/{stem}")


def _row(tar: str, sample: TarSample, stated: Stated, rejection: Rejection | None) -> IndexRow:
    columns = sample.columns
    license_ = text_column(columns, "license")
    return IndexRow(
        key=_key(tar, sample.stem),
        image_uri=member_uri(tar, sample.images[0]) if sample.images else "",
        captions=sample.captions,
        source_url=text_column(columns, "url") or text_column(columns, "source_url"),
        license="" if license_ == LICENSE_NOT_STATED else license_,
        width=pixels_of_value(columns.get("width")),
        height=pixels_of_value(columns.get("height")),
        keypoints=NO_KEYPOINTS,
        label_uri=member_uri(tar, sample.label_maps[0]) if sample.label_maps else "",
        scores=scores_of(columns, stated),
        rejection=rejection,
        facts=facts_of(columns, stated),
    )


def _row_of_cut(tar: str, cut: TarCut, stated: Stated) -> IndexRow:
    """One row for what a tar has lost: how many samples it were cannot be known."""
    sample = TarSample(stem="", images=(), label_maps=(), captions=(), columns={}, copies=1, cut=True)
    rejection = Rejection(_key(tar, ""), Reason.TRUNCATED, f"{tar} {cut.detail}; unpack or download it again")
    return _row(tar, sample, stated, rejection)
