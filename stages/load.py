"""Load: from a row of the index to the bytes that the shard will store. Runs on CPU workers, holds no network.

IndexRow ──fetch──> file ──decode, orient──> RGB ──crop──> stored size ──JPEG──> StoredSample
    └────────────────┴────────────┴───────────────────────────────────> Rejection

Files are read one after the other; images on the web are fetched all at once, and each is decoded when it is there,
while others are under way. Either way a sample is a function of its row and bytes, and the order is the rows'.
"""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from stages.captions import choose_caption
from stages.fetch import fetch
from stages.image.crop import ImageConfig, apply_crop, plan_crop
from stages.image.decode import decode_image
from stages.image.encode import encode_stored_image
from stages.image.labels import cut_labels, decode_labels
from stages.randomness import random_for
from stages.records import Crop, IndexRow, Reason, Rejection, StoredSample
from stages.web.config import FetchConfig
from stages.web.urls import fetch_urls, is_web_url


@dataclass(frozen=True, slots=True)
class Loading:
    """What loading depends on besides the row."""

    base_uri: str
    """What the row's image URI is relative to."""
    label_base_uri: str
    """What its label URI is relative to."""
    label_offset: int
    """Added to the pixels of a label map, modulo 256, to give category ids."""
    image: ImageConfig
    seed: int
    fetch: FetchConfig = field(default_factory=FetchConfig)


def load_samples(
    rows: Sequence[IndexRow], loading: Loading, stop: threading.Event | None = None
) -> list[StoredSample | Rejection]:
    """Load many candidates, in their order; those on the web concurrently.

    Setting `stop` ends it with asyncio.CancelledError. Raises SourceError if the storage fails.
    """
    on_the_web = [n for n, row in enumerate(rows) if row.rejection is None and is_web_url(row.image_uri)]
    fetched = fetch_urls(
        [(rows[n].key, rows[n].image_uri) for n in on_the_web],
        loading.fetch,
        lambda position, data: make_sample(rows[on_the_web[position]], data, loading),
        stop,
    )
    outcomes = dict(zip(on_the_web, fetched, strict=True))
    for n, row in enumerate(rows):
        if stop is not None and stop.is_set():
            raise asyncio.CancelledError
        if n not in outcomes:
            outcomes[n] = load_sample(row, loading)
    return [outcomes[n] for n in range(len(rows))]


def load_sample(row: IndexRow, loading: Loading) -> StoredSample | Rejection:
    """Load one candidate that is not on the web. Raises SourceError if the storage fails."""
    if row.rejection:
        return row.rejection
    return make_sample(row, fetch(row.key, loading.base_uri, row.image_uri, loading.fetch.max_file_bytes), loading)


def make_sample(row: IndexRow, data: bytes | Rejection, loading: Loading) -> StoredSample | Rejection:
    """Decode, crop and encode what was fetched for one candidate.

    The result is a function of the row, the bytes and `loading` alone: randomness (crop position, caption) is drawn
    from (seed, purpose, key). Raises SourceError if the storage of label maps fails.
    """
    if isinstance(data, Rejection):
        return data
    image_hwc = decode_image(row.key, data, loading.image)
    if isinstance(image_hwc, Rejection):
        return image_hwc
    height, width = image_hwc.shape[:2]
    if row.keypoints.size and row.width and row.height and (row.width, row.height) != (width, height):
        detail = f"the annotations are for {row.width}x{row.height} pixels, the upright image has {width}x{height}"
        return Rejection(row.key, Reason.ANNOTATION_SIZE_MISMATCH, detail)
    crop = plan_crop(width, height, loading.image, random_for(loading.seed, "crop", row.key))
    label_bytes = load_labels(row, loading, crop)
    if isinstance(label_bytes, Rejection):
        return label_bytes
    return StoredSample(
        row=row,
        caption=choose_caption(row.captions, loading.seed, row.key),
        image_bytes=encode_stored_image(apply_crop(image_hwc, crop), loading.image),
        label_bytes=label_bytes,
        crop=crop,
    )


def load_labels(row: IndexRow, loading: Loading, crop: Crop) -> bytes | Rejection:
    """Fetch a row's label map and cut it as the image was cut; empty if the row has none."""
    if not row.label_uri:
        return b""
    data = fetch(row.key, loading.label_base_uri, row.label_uri, loading.fetch.max_file_bytes)
    if isinstance(data, Rejection):
        is_there = data.reason in (Reason.TOO_LARGE, Reason.NOT_AN_IMAGE, Reason.BAD_NAME)
        return Rejection(row.key, Reason.BAD_LABELS if is_there else Reason.MISSING_LABELS, data.detail)
    labels_hw = decode_labels(row.key, data, loading.label_offset)
    if isinstance(labels_hw, Rejection):
        return labels_hw
    return cut_labels(row.key, labels_hw, crop)
