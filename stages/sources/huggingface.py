"""Hugging Face data sets: by their name on the hub, or from a local directory (`save_to_disk` or data files).

    [source] path, name, split, revision ──> base URI   huggingface:owner/pictures?image_column=image&split=train
    row 17 of 5000                       ──> image URI  row:17/5000

Listing reads the caption column; the images stay in the memory-mapped Arrow files, undecoded. A worker opens the same
data set once and takes the images by their row numbers; the number of rows tells it if the data set is another by now.
An address on the web in place of an image becomes the image URI, and is fetched as LAION's are.
"""

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode

import pyarrow as pa
from pydantic import Field

from stages.errors import SourceError
from stages.locations import local_path
from stages.records import IndexRow, Reason, Rejection
from stages.settings import Mark, Settings, plain
from stages.sources.arrow_texts import byte_lengths, is_text, without_long_texts
from stages.sources.caption_text import captions_of_value
from stages.sources.index.names import normal_name
from stages.sources.index.schema import NO_KEYPOINTS, to_batches
from stages.web.urls import is_web_url

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

ROW_SCHEME = "row:"
BASE_SCHEME = "huggingface:"
ROWS_READ_AT_ONCE = 4096
TEXT_DTYPES = frozenset({"string", "large_string", "string_view"})
"""Of a column of texts: pandas and Polars write the longer and the newer ones."""
SAVED = {"state.json": "a data set", "dataset_dict.json": "its splits"}
"""What `save_to_disk` leaves in a directory."""


class HuggingFaceSource(Settings):
    """The rows of a Hugging Face data set."""

    kind: Literal["huggingface"] = "huggingface"
    path: Annotated[str, Mark.PLACE] = Field(min_length=1)
    """A name on the hub (owner/name), or a local directory: of `save_to_disk`, or of data files."""
    name: str = ""
    """The configuration of the data set, if it has several."""
    split: str = Field(default="train", pattern=r"^\w+(\.\w+)*$")
    """A split of the data set; `limit` takes its first rows."""
    revision: str = ""
    """A commit, tag or branch on the hub; name a commit for a data set that somebody else may change."""
    image_column: str = "image"
    """The column of images: an Image feature, files' bytes, local paths, or addresses on the web."""
    images_root: Annotated[str, Mark.PLACE] = ""
    """The directory that the column's paths are relative to, or lie below; empty takes `path`, if that is local."""
    caption_column: str = "text"
    """The column of captions: a string, or a list of strings."""

    @property
    def base_uri(self) -> str:
        settings = {name: value for name, value in plain(self).items() if name not in ("kind", "path")}
        return f"{BASE_SCHEME}{quote(self.path)}?{urlencode(sorted(settings.items()))}"

    @property
    def label_base_uri(self) -> str:
        return self.base_uri

    @property
    def label_offset(self) -> int:
        return 0

    @property
    def lacks_keypoints(self) -> str:
        return f"source.kind = {self.kind}, which has none"

    @property
    def labels(self) -> Mapping[int, str]:
        return {}

    def batches(self) -> Iterator[pa.RecordBatch]:
        return to_batches(self._rows())

    def _rows(self) -> Iterator[IndexRow]:
        from datasets import Value

        dataset = open_dataset(self)
        feature = dataset.features[self.image_column]
        holds_paths = isinstance(feature, Value) and feature.dtype in TEXT_DTYPES
        columns = {self.caption_column, self.image_column} if holds_paths else {self.caption_column}
        number = 0
        for table in dataset.select_columns(sorted(columns)).with_format("arrow").iter(batch_size=ROWS_READ_AT_ONCE):
            paths = _values(table[self.image_column]) if holds_paths else [None] * table.num_rows
            for path, value in zip(paths, _values(table[self.caption_column]), strict=True):
                url = path if path is not None and is_web_url(path) else ""
                yield _row(number, len(dataset), url, captions_of_value(value), self.caption_column)
                number += 1


def _values(column: pa.ChunkedArray) -> list[Any]:
    return [value for chunk in column.chunks for value in without_long_texts(chunk).to_pylist()]


def _row(number: int, rows: int, url: str, captions: tuple[str, ...], column: str) -> IndexRow:
    """A row of the index; `url` is where the image is published, if the image column holds such addresses."""
    key = f"{number:09d}"
    no_caption = Rejection(key, Reason.NO_CAPTION, f"row {number} has no caption in column {column!r}")
    return IndexRow(
        key=key,
        image_uri=url or f"{ROW_SCHEME}{number}/{rows}",
        captions=captions,
        source_url=url,
        license="",
        width=0,
        height=0,
        keypoints=NO_KEYPOINTS,
        label_uri="",
        scores={},
        rejection=None if captions else no_caption,
    )


@dataclass(frozen=True, slots=True)
class RowFile:
    """Where the image of a row lies, if it is not in the row."""

    root: str
    name: str


def read_image(key: str, base_uri: str, uri: str, most_bytes: int) -> bytes | RowFile | Rejection:
    """Return the image file of a row, or the place where it lies; a rejection if it has neither, or too large a one.

    Raises SourceError if the data set cannot be opened or has another number of rows than when it was listed.
    """
    match = re.fullmatch(rf"{ROW_SCHEME}(\d+)/(\d+)", uri)
    assert match is not None, "row URIs come from an index that this source wrote"
    number, rows = int(match[1]), int(match[2])
    images = open_images(base_uri)
    if len(images) != rows:
        raise SourceError(
            f"{base_uri} must have the {rows} rows that were listed, got {len(images)}; set source.revision, or remove "
            "index.json and index/ to list it again"
        )
    column = images[number : number + 1].column(0).chunk(0)
    size = _stored_bytes(column)
    if size > most_bytes:
        detail = f"row {number} must have an image of at most {most_bytes} bytes, got {size}"
        return Rejection(key, Reason.TOO_LARGE, f"{detail}; fetch.max_file_bytes allows more")
    image = column[0].as_py()
    if isinstance(image, dict):  # an Image feature, undecoded
        image = image["path"] if image["bytes"] is None else image["bytes"]
    if isinstance(image, bytes):
        return image
    if not isinstance(image, str) or not image:
        return Rejection(
            key, Reason.MISSING_FILE, f"row {number} must have an image or its local path, got {image!r:.80}"
        )
    place = _place(_source_of(base_uri), image)
    if place is None:
        detail = f"row {number} must name an image below source.images_root, got {image[:80]!r:.80}"
        return Rejection(key, Reason.BAD_NAME, f"{detail}; set it if these images are yours")
    return place


def _stored_bytes(column: pa.Array) -> int:
    """How many bytes the value in a column of one row has, by its offsets alone."""
    parts = column.flatten() if pa.types.is_struct(column.type) else [column]
    return sum(byte_lengths(part)[0].as_py() or 0 for part in parts if is_text(part.type))


def _place(source: HuggingFaceSource, image: str) -> RowFile | None:
    """Where a path leads: below the user's images, or to where `datasets` has unpacked the data set itself."""
    import datasets
    import huggingface_hub

    own = source.images_root or (source.path if Path(source.path).is_dir() else "")
    path = str(local_path(image) or image)
    if not path.startswith("/"):
        return RowFile(own, path) if own and normal_name(path) else None
    for root in (own, str(datasets.config.HF_DATASETS_CACHE), huggingface_hub.constants.HF_HUB_CACHE):
        local = local_path(root) if root else None
        # `datasets` names files by the path that links on the way to them lead to.
        for each in (local.absolute(), local.resolve()) if local else ():
            if path.startswith(f"{each}/") and normal_name(path.removeprefix(f"{each}/")):
                return RowFile(root, path.removeprefix(f"{each}/"))
    return None


def _source_of(base_uri: str) -> HuggingFaceSource:
    path, _, settings = base_uri.removeprefix(BASE_SCHEME).partition("?")
    return HuggingFaceSource.model_validate({"path": unquote(path), **dict(parse_qsl(settings))})


@lru_cache(maxsize=2)
def open_images(base_uri: str) -> "Dataset":
    """Open the image column of the data set that a base URI names, undecoded; once for each process."""
    from datasets import Image

    source = _source_of(base_uri)
    images = open_dataset(source).select_columns([source.image_column])
    if isinstance(images.features[source.image_column], Image):
        images = images.cast_column(source.image_column, Image(decode=False))
    return images.with_format("arrow")


def open_dataset(source: HuggingFaceSource) -> "Dataset":
    """Open the split of a data set, from the hub's cache if it is there; without a word on the terminal.

    Raises SourceError if it cannot be had, or lacks one of the two columns.
    """
    import datasets

    saved = any((Path(source.path) / name).is_file() for name in SAVED)
    try:
        with _silent():
            if saved:
                dataset = _split_of(source, datasets.load_from_disk(source.path))
            else:
                dataset = datasets.load_dataset(
                    source.path, source.name or None, split=source.split, revision=source.revision or None
                )
    # pyarrow's and the hub's errors are among ValueError and OSError; a card that is wrong ends in a KeyError.
    except (OSError, ValueError, KeyError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        cause = " ".join(str(error.__cause__ or error).split())
        raise SourceError(
            f"source {source.path} must be a data set that `datasets` can load, got {type(error).__name__}: {cause}; "
            "fix source.path, name, split or revision, or download it first"
        ) from None
    for setting in ("image_column", "caption_column"):
        if getattr(source, setting) not in dataset.column_names:
            names = ", ".join(dataset.column_names)
            raise SourceError(
                f"source.{setting} must be a column of {source.path}, got {getattr(source, setting)!r}; it has {names}"
            )
    return dataset.with_format(None)  # a data set is saved with the format that it was last read in


def _split_of(source: HuggingFaceSource, saved: "Dataset | DatasetDict") -> "Dataset":
    if not isinstance(saved, dict):
        return saved
    if source.split not in saved:
        got = ", ".join(saved)
        raise SourceError(f"source.split must be one of {source.path}'s, got {source.split!r}; it has {got}")
    return saved[source.split]


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the progress bars and log lines of datasets and of the hub's client off the terminal."""
    import datasets
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # imported lazily, which mypy does not see
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    bars = not datasets.are_progress_bars_disabled(), not are_progress_bars_disabled()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    datasets.disable_progress_bars()
    disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars[0]:
            datasets.enable_progress_bars()
        if bars[1]:
            enable_progress_bars()
