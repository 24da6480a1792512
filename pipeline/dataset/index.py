"""index.parquet: every candidate of a data set in order, written once and trusted by every later run.

    source.batches() ──limit, duplicate keys──> index.parquet ──rows [start, stop)──> IndexRow
           └── counts of the rows that the source dropped ──> the file's metadata

A worker reads only the row groups that its plan touches. Writing keeps 16 bytes of each row in memory, which tell its
key from all others, and how the source cuts its rows into batches does not show in the file.
"""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dataset.storage import Directory
from stages.errors import ManifestError, SourceError
from stages.records import IndexRow, Reason
from stages.sources.index.dropped import from_metadata, to_metadata
from stages.sources.index.identities import key_identities, repeated
from stages.sources.index.schema import SCHEMA, from_table
from stages.sources.protocol import Source

Numbers: TypeAlias = npt.NDArray[np.int64]

INDEX_FILE = "index.parquet"
LISTED_BY = b"condset.listed_by"
ROWS_PER_GROUP = 4096
GROUPS_PER_WRITE = 16

REPEATING_COLUMNS = ["license", "width", "height", "label_uri", "rejected_reason", "rejected_detail"]
"""The columns for which a dictionary pays; with one for every column, writing takes half as long again."""


@dataclass(frozen=True, slots=True)
class IndexFile:
    """An index that is on disk."""

    rows: int
    sha256: str
    dropped: Mapping[str, int] = field(default_factory=dict)
    """How many rows of the source are not in it, by the filter that dropped them, in the order of the filters."""
    listed_by: str = ""
    """The digest of the settings that it was listed by; empty if it does not tell."""


def write_index(directory: Directory, source: Source, limit: int, listed_by: str = "") -> IndexFile:
    """List the source into index.parquet, which remembers `listed_by`; `limit` = 0 takes all rows.

    Raises SourceError if the source lists nothing.
    """
    with directory.create(INDEX_FILE) as file:
        duplicates = _write(file, source, limit, listed_by, np.zeros(0, np.int64))
        if len(duplicates):
            # Two keys are so rarely the same that listing once more then costs less than always looking before writing.
            file.seek(0)
            file.truncate()
            _write(file, source, limit, listed_by, duplicates)
    index = open_index(directory)
    if index.rows == 0:
        directory.remove(INDEX_FILE)
        reasons = ", ".join(f"{count} {name}" for name, count in index.dropped.items() if count)
        advice = f"; its filters dropped all rows: {reasons}" if reasons else ""
        where = f"source {source.kind} {source.base_uri}".rstrip()
        raise SourceError(f"{where} must list at least one image, got none{advice}")
    return index


def _write(file: BinaryIO, source: Source, limit: int, listed_by: str, duplicates: Numbers) -> Numbers:
    """Write the rows of a source, rejecting `duplicates`; returns the numbers of all rows to be rejected as such."""
    counts: Counter[str] = Counter()
    keys, candidates = [np.zeros((0, 2), np.uint64)], [np.zeros(0, np.bool_)]
    start = 0
    with (
        pq.ParquetWriter(
            file,
            SCHEMA,
            compression="zstd",
            use_dictionary=REPEATING_COLUMNS,
            write_statistics=False,
            write_batch_size=ROWS_PER_GROUP,
        ) as writer,
        ThreadPoolExecutor(1, thread_name_prefix="write") as encoder,
    ):
        written = encoder.submit(lambda: None)
        for table in _whole_groups(_counted(_first(source.batches(), limit), counts)):
            keys.append(key_identities(table.column("key").chunk(0)))
            candidates.append(pc.equal(table.column("rejected_reason"), "").to_numpy())
            table = _reject(table, duplicates[np.searchsorted(duplicates, start) :] - start)
            start += table.num_rows
            written.result()
            written = encoder.submit(writer.write_table, table, row_group_size=ROWS_PER_GROUP)
        written.result()
        writer.add_key_value_metadata({**to_metadata(counts), LISTED_BY: listed_by.encode()})
    return np.flatnonzero(repeated(np.concatenate(keys)) & np.concatenate(candidates))


def _reject(table: pa.Table, duplicates: Numbers) -> pa.Table:
    """Reject rows by their sorted numbers, as far as the table has them: samples of one key would be read as one."""
    again = np.zeros(table.num_rows, np.bool_)
    again[duplicates[: np.searchsorted(duplicates, table.num_rows)]] = True
    if not again.any():
        return table
    reasons = {
        "rejected_reason": Reason.DUPLICATE_KEY.value,
        "rejected_detail": pc.binary_join_element_wise("key ", table.column("key"), " is already in the index", ""),
    }
    for name, value in reasons.items():
        column = pc.if_else(pa.array(again), value, table.column(name))
        table = table.set_column(table.schema.get_field_index(name), SCHEMA.field(name), column)
    return table


def open_index(directory: Directory) -> IndexFile:
    """Count and hash the index; ManifestError if it is no index of ours."""
    try:
        with directory.open(INDEX_FILE) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any readable file does
            parquet = _parquet(file)
            schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
            metadata = parquet.metadata.metadata or {}
            counts, listed_by = from_metadata(metadata), metadata.get(LISTED_BY, b"").decode()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{directory / INDEX_FILE} must be a parquet index, got {error}; remove it and prepare again"
        ) from None
    if schema.names != SCHEMA.names:
        raise ManifestError(
            f"{directory / INDEX_FILE} must have columns {SCHEMA.names}, got {schema.names}; "
            "remove it and prepare again"
        )
    return IndexFile(rows, sha256, counts, listed_by)


@contextlib.contextmanager
def reading_index(directory: Directory) -> Iterator[pq.ParquetFile]:
    """Open the index; columns are read when they are asked for, by the thread that asks."""
    with directory.open(INDEX_FILE) as file:
        yield _parquet(file)


def _parquet(file: BinaryIO) -> pq.ParquetFile:
    """Read a file's footer, and nothing ahead.

    pyarrow's own threads, which would read ahead, free Python's buffers a moment after they are read. If the program
    ends in that moment, it is aborted: one `condset verify` in five was.
    """
    return pq.ParquetFile(file, pre_buffer=False)


def read_rows(directory: Directory, start: int, stop: int) -> list[IndexRow]:
    """Read rows [start, stop) of the index."""
    with reading_index(directory) as index:
        return from_table(read_columns(index, start, stop))


def read_columns(index: pq.ParquetFile, start: int, stop: int, columns: Sequence[str] | None = None) -> pa.Table:
    """Read rows [start, stop) of an open index, all columns or some of them, touching only their row groups."""
    first_group, last_group = start // ROWS_PER_GROUP, (stop - 1) // ROWS_PER_GROUP
    table = index.read_row_groups(list(range(first_group, last_group + 1)), columns=columns, use_threads=False)
    return table.slice(start - first_group * ROWS_PER_GROUP, stop - start)


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
