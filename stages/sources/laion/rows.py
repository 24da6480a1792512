"""Rows of a LAION table as rows of the index.

    url ──sha256──> key        url ──> image_uri, source_url        aesthetic, similarity, ... ──> scores

All rows of a data set have the same scores, those that any of its files has, because readers take the fields of a
sample from the first ones; NaN stands where a row lacks one.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.sources.index.identities import UInt8Matrix, sha256_digests
from stages.sources.index.names import KEY_DIGITS
from stages.sources.index.schema import SCHEMA
from stages.sources.laion.values import Floats

LISTED = ("url", "caption", "license", "width", "height")
"""What the index has of each row, besides the scores."""
NOT_STATED = "?"
"""What LAION-400M and LAION-5B have for nearly every licence."""

DIGEST_BYTES = 32

_HEX_PAIRS = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), "<u2")


def with_digests(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Add a column `digest`: the sha256 of the URL."""
    content = pa.py_buffer(sha256_digests(rows.column("url")))
    return rows.append_column("digest", pa.Array.from_buffers(pa.binary(DIGEST_BYTES), rows.num_rows, [None, content]))


def digests(rows: pa.RecordBatch) -> UInt8Matrix:
    """Return the column `digest` as (rows, 32)."""
    column = rows.column("digest")
    content = np.frombuffer(column.buffers()[1], np.uint8).reshape(-1, DIGEST_BYTES)
    return content[column.offset : column.offset + len(column)]


def to_index(rows: pa.RecordBatch, score_names: Sequence[str]) -> pa.RecordBatch:
    """Make a batch of `SCHEMA` of rows that have url, tidy caption and digest; `score_names` are sorted."""
    count = rows.num_rows
    empty = pa.repeat("", count)
    url = rows.column("url")
    license_ = pc.fill_null(rows.column("license"), "")
    columns = {
        "key": _keys(digests(rows)),
        "image_uri": url,
        "captions": _captions(rows),
        "source_url": url,
        "license": pc.if_else(pc.equal(license_, NOT_STATED), "", license_),
        "width": _pixels(rows.column("width")),
        "height": _pixels(rows.column("height")),
        "keypoints": pa.ListArray.from_arrays(np.zeros(count + 1, np.int32), pa.array([], pa.float32())),
        "label_uri": empty,
        "scores": _scores([rows.column(name).to_numpy() for name in score_names], score_names, count),
        "texts": _no_facts(count, pa.string()),
        "numbers": _no_facts(count, pa.int64()),
        "rejected_reason": empty,
        "rejected_detail": empty,
    }
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def _captions(rows: pa.RecordBatch) -> pa.Array:
    first = pa.ListArray.from_arrays(np.arange(rows.num_rows + 1, dtype=np.int32), rows.column("caption"))
    if "more_captions" not in rows.schema.names:
        return first
    pairs = zip(first.to_pylist(), rows.column("more_captions").to_pylist(), strict=True)
    return pa.array([some + more for some, more in pairs], first.type)


def _no_facts(count: int, kind: pa.DataType) -> pa.Array:
    return pa.MapArray.from_arrays(np.zeros(count + 1, np.int32), pa.array([], pa.string()), pa.array([], kind))


def _keys(hashes: UInt8Matrix) -> pa.Array:
    """The first `KEY_DIGITS` hex digits of each hash, as stages.sources.index.names.hashed_key gives them."""
    characters = _HEX_PAIRS[hashes[:, : KEY_DIGITS // 2]]
    offsets = np.arange(0, (len(hashes) + 1) * KEY_DIGITS, KEY_DIGITS, dtype=np.int32)
    return pa.StringArray.from_buffers(len(hashes), pa.py_buffer(offsets), pa.py_buffer(characters))


def _pixels(values: pa.Array) -> pa.Array:
    return pa.array(np.nan_to_num(values.to_numpy(), nan=0.0).astype(np.int32))


def _scores(values: Sequence[Floats], names: Sequence[str], count: int) -> pa.Array:
    offsets = np.arange(count + 1, dtype=np.int32) * len(names)
    keys = pa.array(names, pa.string()).take(pa.array(np.tile(np.arange(len(names)), count)))
    items = np.stack(values, axis=1).ravel() if values else np.zeros(0)
    return pa.MapArray.from_arrays(pa.array(offsets), keys, pa.array(items))
