"""index.parquet: every candidate of a data set in order, written once and trusted by every later run.

    source.batches() ──limit, duplicate keys──> index.parquet ──rows [start, stop)──> IndexRow
           └── counts of the rows that the source dropped ──> its schema metadata

A worker reads only the row groups that its plan touches. Ten million rows take no more memory than their keys'
identities do, and the bytes of the file do not depend on how the source cuts its rows into batches.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.storage import Directory
from stages.errors import ManifestError, SourceError
from stages.records import IndexRow, Reason
from stages.sources.dropped import from_metadata, to_metadata
from stages.sources.identities import IdentitySet, key_identities
from stages.sources.index_schema import SCHEMA, from_table
from stages.sources.protocol import Source

INDEX_FILE = "index.parquet"
ROWS_PER_GROUP = 4096
GROUPS_PER_WRITE = 16

REPEATING_COLUMNS = ["license", "width", "height", "label_uri", "scores.key_value.key", "rejected_reason"]
"""Columns whose values repeat, for which a dictionary pays; with one for each column, writing takes half as long again."""


@dataclass(frozen=True, slots=True)
class IndexFile:
    """An index that is on disk."""

    rows: int
    sha256: str
    dropped: Mapping[str, int] = field(default_factory=dict)
    """How many rows of the source are not in it, by the filter that dropped them, in the order of the filters."""


def write_index(directory: Directory, source: Source, limit: int) -> IndexFile:
    """List the source into index.parquet; `limit` = 0 takes all rows.

    Raises SourceError if the source lists nothing.
    """
    counts: Counter[str] = Counter()
    with (
        directory.create(INDEX_FILE) as file,
        pq.ParquetWriter(
            file, SCHEMA, compression="zstd", use_dictionary=REPEATING_COLUMNS, write_statistics=False
        ) as writer,
        ThreadPoolExecutor(1, thread_name_prefix="write") as encoder,
    ):
        written = encoder.submit(lambda: None)
        for table in _whole_groups(_without_duplicates(_counted(_first(source.batches(), limit), counts))):
            written.result()
            written = encoder.submit(writer.write_table, table, row_group_size=ROWS_PER_GROUP)
        written.result()
        writer.add_key_value_metadata(to_metadata(counts))
    index = open_index(directory)
    if index.rows == 0:
        directory.remove(INDEX_FILE)
        reasons = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        advice = f"; its filters dropped all rows: {reasons}" if reasons else ""
        where = f"source {source.kind} {source.base_uri}".rstrip()
        raise SourceError(f"{where} must list at least one image, got none{advice}")
    return index


def open_index(directory: Directory) -> IndexFile:
    """Count and hash the index; ManifestError if it is no index of ours."""
    try:
        with directory.open(INDEX_FILE) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any readable file does
            parquet = pq.ParquetFile(file)
            schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
            counts = from_metadata(parquet.metadata.metadata)
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise ManifestError(f"{directory / INDEX_FILE} must be a parquet index, got {error}; prepare again") from None
    if schema.names != SCHEMA.names:
        raise ManifestError(f"{directory / INDEX_FILE} must have columns {SCHEMA.names}, got {schema.names}")
    return IndexFile(rows, sha256, counts)


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


def _counted(batches: Iterator[pa.RecordBatch], counts: Counter[str]) -> Iterator[pa.RecordBatch]:
    """Add up what the source has dropped, and pass on its rows."""
    for batch in batches:
        counts.update(from_metadata(batch.schema.metadata))
        yield batch


def _without_duplicates(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Reject every row whose key came before: two samples of one key would be read as one."""
    seen = IdentitySet()
    for batch in batches:
        keys, reasons, details = (batch.column(name) for name in ("key", "rejected_reason", "rejected_detail"))
        again = pc.and_(pa.array(seen.add(key_identities(keys))), pc.equal(reasons, ""))
        if pc.any(again).as_py():
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            detail = pc.binary_join_element_wise("key ", keys, " is already in the index", "")
            columns |= {
                "rejected_reason": pc.if_else(again, Reason.DUPLICATE_KEY.value, reasons),
                "rejected_detail": pc.if_else(again, detail, details),
            }
            batch = pa.RecordBatch.from_pydict(columns, schema=SCHEMA)
        yield batch


def _whole_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Regroup batches into tables of whole row groups, so that a row's group follows from its number."""
    pending: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        pending.append(batch)
        rows += batch.num_rows
        if rows >= ROWS_PER_GROUP * GROUPS_PER_WRITE:
            # Where a column is cut into chunks shows in the pages of the file.
            table = pa.Table.from_batches(pending, SCHEMA).combine_chunks()
            yield table.slice(0, rows - rows % ROWS_PER_GROUP)
            pending, rows = table.slice(rows - rows % ROWS_PER_GROUP).to_batches(), rows % ROWS_PER_GROUP
    if rows:
        yield pa.Table.from_batches(pending, SCHEMA).combine_chunks()
