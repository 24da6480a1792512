"""index.parquet: every candidate of a data set in order, written once and trusted by every later run.

    source.batches() ──limit, duplicate keys──> index.parquet ──rows [start, stop)──> IndexRow

A worker reads only the row groups that its plan touches.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage import Directory
from stages.errors import ManifestError, SourceError
from stages.records import IndexRow, Reason
from stages.sources.index_schema import SCHEMA, from_table
from stages.sources.protocol import Source

INDEX_FILE = "index.parquet"
ROWS_PER_GROUP = 4096


@dataclass(frozen=True, slots=True)
class IndexFile:
    """An index that is on disk."""

    rows: int
    sha256: str


def write_index(directory: Directory, source: Source, limit: int) -> IndexFile:
    """List the source into index.parquet; `limit` = 0 takes all rows.

    Raises SourceError if the source lists nothing.
    """
    with directory.create(INDEX_FILE) as file:
        writer = pq.ParquetWriter(file, SCHEMA, compression="zstd")
        for table in _row_groups(_without_duplicates(_first(source.batches(), limit))):
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)
        writer.close()
    index = open_index(directory)
    if index.rows == 0:
        directory.remove(INDEX_FILE)
        raise SourceError(f"source {source.kind} {source.base_uri} must list at least one image, got none")
    return index


def open_index(directory: Directory) -> IndexFile:
    """Count and hash the index; ManifestError if it is no index of ours."""
    try:
        with directory.open(INDEX_FILE) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any readable file does
            parquet = pq.ParquetFile(file)
            schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise ManifestError(f"{directory / INDEX_FILE} must be a parquet index, got {error}; prepare again") from None
    if schema.names != SCHEMA.names:
        raise ManifestError(f"{directory / INDEX_FILE} must have columns {SCHEMA.names}, got {schema.names}")
    return IndexFile(rows, sha256)


def read_rows(directory: Directory, start: int, stop: int) -> list[IndexRow]:
    """Read rows [start, stop) of the index, touching only their row groups."""
    with directory.open(INDEX_FILE) as file:
        parquet = pq.ParquetFile(file)
        first_group = start // ROWS_PER_GROUP
        last_group = (stop - 1) // ROWS_PER_GROUP
        table = parquet.read_row_groups(list(range(first_group, last_group + 1)), use_threads=False)
    return from_table(table.slice(start - first_group * ROWS_PER_GROUP, stop - start))


def _first(batches: Iterator[pa.RecordBatch], limit: int) -> Iterator[pa.RecordBatch]:
    taken = 0
    for batch in batches:
        if limit and taken + batch.num_rows >= limit:
            yield batch.slice(0, limit - taken)
            return
        taken += batch.num_rows
        yield batch


def _without_duplicates(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Reject every row whose key came before: two samples of one key would be read as one."""
    seen: set[str] = set()
    for batch in batches:
        keys = batch.column("key").to_pylist()
        reasons = batch.column("rejected_reason").to_pylist()
        details = batch.column("rejected_detail").to_pylist()
        changed = False
        for position, key in enumerate(keys):
            if key in seen and not reasons[position]:
                reasons[position] = Reason.DUPLICATE_KEY
                details[position] = f"key {key} is already in the index"
                changed = True
            seen.add(key)
        if changed:
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            columns |= {
                "rejected_reason": pa.array(reasons, pa.string()),
                "rejected_detail": pa.array(details, pa.string()),
            }
            batch = pa.RecordBatch.from_pydict(columns, schema=SCHEMA)
        yield batch


def _row_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Regroup batches into tables of exactly `ROWS_PER_GROUP` rows, so that a row's group follows from its number."""
    pending = SCHEMA.empty_table()
    for batch in batches:
        pending = pa.concat_tables([pending, pa.Table.from_batches([batch])])
        while pending.num_rows >= ROWS_PER_GROUP:
            yield pending.slice(0, ROWS_PER_GROUP)
            pending = pending.slice(ROWS_PER_GROUP)
    if pending.num_rows:
        yield pending
