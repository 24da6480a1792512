"""The one schema of the index's parts, and the way between its rows and `IndexRow`.

Every source yields record batches of this schema, so what comes after a source never asks which one it was.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from stages.records import IndexRow, Reason, Rejection
from stages.sources.index.dropped import with_dropped

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("image_uri", pa.string()),
        ("captions", pa.list_(pa.string())),
        ("source_url", pa.string()),
        ("license", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("keypoints", pa.list_(pa.float32())),  # flat: persons x 17 x 3
        ("label_uri", pa.string()),
        ("scores", pa.map_(pa.string(), pa.float64())),
        ("texts", pa.map_(pa.string(), pa.string())),  # the facts, by type
        ("numbers", pa.map_(pa.string(), pa.int64())),
        ("rejected_reason", pa.string()),  # empty: a candidate
        ("rejected_detail", pa.string()),
    ]
)

NO_KEYPOINTS = np.zeros((0, 17, 3), np.float32)
BATCH_ROWS = 4096


def to_batches(rows: Iterable[IndexRow], passed_over: Counter[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Pack rows into record batches of `SCHEMA`, in order, `BATCH_ROWS` to a batch.

    `passed_over` is filled by whoever yields the rows: what it holds by then goes with each batch, and what is left at
    the end with a last one that may have no rows.
    """
    counts = Counter[str]() if passed_over is None else passed_over
    pending: list[IndexRow] = []
    for row in rows:
        pending.append(row)
        if len(pending) == BATCH_ROWS:
            yield _counted(pending, counts)
            pending = []
    if pending or counts:
        yield _counted(pending, counts)


def _counted(rows: Sequence[IndexRow], counts: Counter[str]) -> pa.RecordBatch:
    dropped = dict(sorted(counts.items()))
    counts.clear()
    return with_dropped(_to_batch(rows), dropped)


def _to_batch(rows: Sequence[IndexRow]) -> pa.RecordBatch:
    columns = {
        "key": [row.key for row in rows],
        "image_uri": [row.image_uri for row in rows],
        "captions": [list(row.captions) for row in rows],
        "source_url": [row.source_url for row in rows],
        "license": [row.license for row in rows],
        "width": [row.width for row in rows],
        "height": [row.height for row in rows],
        "keypoints": [row.keypoints.ravel() for row in rows],
        "label_uri": [row.label_uri for row in rows],
        "scores": [sorted(row.scores.items()) for row in rows],
        "texts": [_facts(row, str) for row in rows],
        "numbers": [_facts(row, int) for row in rows],
        "rejected_reason": [row.rejection.reason if row.rejection else "" for row in rows],
        "rejected_detail": [row.rejection.detail if row.rejection else "" for row in rows],
    }
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def _facts(row: IndexRow, kind: type) -> list[tuple[str, str | int]]:
    return [(name, value) for name, value in sorted(row.facts.items()) if isinstance(value, kind)]


def from_table(table: pa.Table) -> list[IndexRow]:
    """Unpack rows of `SCHEMA`."""
    return [
        IndexRow(
            key=row["key"],
            image_uri=row["image_uri"],
            captions=tuple(row["captions"]),
            source_url=row["source_url"],
            license=row["license"],
            width=row["width"],
            height=row["height"],
            keypoints=np.asarray(row["keypoints"], np.float32).reshape(-1, 17, 3),
            label_uri=row["label_uri"],
            scores=dict(row["scores"]),
            rejection=(
                Rejection(row["key"], Reason(row["rejected_reason"]), row["rejected_detail"])
                if row["rejected_reason"]
                else None
            ),
            facts=dict(row["texts"] + row["numbers"]),
        )
        for row in table.to_pylist()
    ]
