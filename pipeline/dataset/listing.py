"""Listing a source into the index, once.

    source.batches() ──limit, duplicate keys──> drafts of the parts ──all written──> index/*.parquet ──> index.json
           └── counts of the rows that the source dropped ───────────────────────────────────────────────┘

Writing keeps 16 bytes of each row in memory, which tell its key from all others, and how the source cuts its rows into
batches does not show in the files. Nothing appears before everything is listed, and nothing replaces what another run
has listed.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dataset.drafts import Draft, HashingFile
from pipeline.dataset.index import (
    GROUP_KEYS,
    INDEX_FILE,
    PARTS,
    ROWS_PER_GROUP,
    ROWS_PER_PART,
    Index,
    IndexPart,
    Numbers,
    group_digest,
)
from pipeline.dataset.storage import Directory
from stages.errors import SourceError
from stages.records import Reason
from stages.sources.index.dropped import from_metadata
from stages.sources.index.identities import key_identities, repeated
from stages.sources.index.schema import SCHEMA

PART_DIGITS = 7
GROUPS_PER_WRITE = 16
BYTES_PER_WRITE = 1 << 25
"""Fewer groups are written at once where the rows are so long that this is reached before."""

REPEATING_COLUMNS = ["license", "width", "height", "label_uri", "rejected_reason", "rejected_detail"]
"""The columns for which a dictionary pays; with one for every column, writing takes half as long again."""


class Listing(Protocol):
    """What is listed: a source, or rows of another index."""

    @property
    def kind(self) -> str: ...

    @property
    def base_uri(self) -> str: ...

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield rows of stages.sources.index.schema.SCHEMA: the same ones in the same order every time."""
        ...


def write_index(
    directory: Directory, source: Listing, limit: int, listed_by: str = "", rows_per_part: int = ROWS_PER_PART
) -> Index:
    """List the source into the index, which remembers `listed_by`; `limit` = 0 takes all rows.

    Raises SourceError if the source lists nothing, ShardConflict if another run has listed other rows meanwhile.
    """
    folder = directory / PARTS
    parts, counts, duplicates = _list(folder, source, limit, rows_per_part, np.zeros(0, np.int64))
    if len(duplicates):
        # Two keys are so rarely the same that listing once more then costs less than always looking before writing.
        _discard(parts)
        parts, counts, duplicates = _list(folder, source, limit, rows_per_part, duplicates)
    if not parts:
        raise _nothing_listed(source, counts)
    return _publish(directory, parts, dict(counts), listed_by, rows_per_part)


def write_listed(
    directory: Directory,
    batches: Iterator[pa.RecordBatch],
    dropped: Mapping[str, int],
    listed_by: str,
    rows_per_part: int = ROWS_PER_PART,
) -> Index:
    """Write rows that were listed before, as they are, into the index; raises ShardConflict as `write_index` does."""
    parts = _write(directory / PARTS, _tables(batches, rows_per_part), rows_per_part)
    return _publish(directory, parts, dropped, listed_by, rows_per_part)


def _publish(
    directory: Directory,
    parts: list[tuple[IndexPart, Draft]],
    dropped: Mapping[str, int],
    listed_by: str,
    rows_per_part: int,
) -> Index:
    """Let the parts appear, and then the file that names them."""
    try:
        for _, draft in parts:
            draft.publish()
    finally:
        _discard(parts)
    index = Index(tuple(part for part, _ in parts), dropped, listed_by, rows_per_part)
    with directory.publish(INDEX_FILE) as file:
        file.write(index.to_json())
    return index


def copy_index(here: Directory, there: Directory, index: Index) -> None:
    """Copy an index as it is, unless it is there; ShardConflict if another one is."""
    (there / PARTS).make()
    for part in index.parts:
        with (here / PARTS).open(part.file) as source, (there / PARTS).publish(part.file) as target:
            shutil.copyfileobj(source, target)
    with there.publish(INDEX_FILE) as file:
        file.write(index.to_json())


def _nothing_listed(source: Listing, counts: Counter[str]) -> SourceError:
    reasons = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    advice = f"; its filters dropped all rows: {reasons}" if reasons else ""
    where = f"source {source.kind} {source.base_uri}".rstrip()
    return SourceError(f"{where} must list at least one image, got none{advice}")


def _list(
    folder: Directory, source: Listing, limit: int, rows_per_part: int, duplicates: Numbers
) -> tuple[list[tuple[IndexPart, Draft]], Counter[str], Numbers]:
    """Write the rows of a source into drafts, rejecting `duplicates`.

    Returns the parts, what the source dropped and the numbers of all rows that are to be rejected as duplicates.
    """
    counts: Counter[str] = Counter()
    keys, candidates = [np.zeros((0, 2), np.uint64)], [np.zeros(0, np.bool_)]

    def tables() -> Generator[pa.Table, None, None]:
        start = 0
        for table in _tables(_counted(_first(source.batches(), limit), counts), rows_per_part):
            keys.append(key_identities(table.column("key").chunk(0)))
            candidates.append(pc.equal(table.column("rejected_reason"), "").to_numpy())
            yield _reject(table, duplicates[np.searchsorted(duplicates, start) :] - start)
            start += table.num_rows

    # Some sources read ahead by threads of their own.
    with closing(tables()) as listed:
        parts = _write(folder, listed, rows_per_part)
    return parts, counts, np.flatnonzero(repeated(np.concatenate(keys)) & np.concatenate(candidates))


def _write(folder: Directory, tables: Iterator[pa.Table], rows_per_part: int) -> list[tuple[IndexPart, Draft]]:
    """Write tables, none of which reaches into the next part, into drafts of the parts."""
    parts: list[tuple[IndexPart, Draft]] = []
    rows = 0
    with ExitStack() as on_error, ThreadPoolExecutor(1, thread_name_prefix="write") as encoder:
        on_error.callback(_discard, parts)
        part: _Part | None = None
        for table in tables:
            part = part or on_error.enter_context(_Part(folder, len(parts), encoder))
            part.write(table)
            rows += table.num_rows
            if rows % rows_per_part == 0:
                parts.append(part.finish())
                part = None
        if part:
            parts.append(part.finish())
        on_error.pop_all()
    return parts


def _discard(parts: list[tuple[IndexPart, Draft]]) -> None:
    for _, draft in parts:
        draft.discard()


class _Part:
    """A part that is being written: encoded by another thread while the next rows are listed."""

    def __init__(self, folder: Directory, number: int, encoder: ThreadPoolExecutor) -> None:
        self._name = f"{number:0{PART_DIGITS}d}.parquet"
        folder.make()
        self._draft = folder.draft(self._name)
        self._file = HashingFile(self._draft.file)
        self._encoder = encoder
        self._writer = pq.ParquetWriter(
            self._file,
            SCHEMA,
            compression="zstd",
            use_dictionary=REPEATING_COLUMNS,
            write_statistics=False,
            write_batch_size=ROWS_PER_GROUP,
        )
        self._written: Future[None] | None = None
        self._digests: list[str] = []
        self._rows = 0
        self._finished = False

    def __enter__(self) -> "_Part":
        return self

    def __exit__(self, *error: object) -> None:
        if not self._finished:
            self._draft.discard()

    def write(self, table: pa.Table) -> None:
        """Write whole row groups, or the last rows of the part."""
        column = table.column("key")
        groups = range(0, table.num_rows, ROWS_PER_GROUP)
        self._digests += [group_digest(column.slice(first, ROWS_PER_GROUP)) for first in groups]
        self._rows += table.num_rows
        self._wait()
        self._written = self._encoder.submit(self._writer.write_table, table, row_group_size=ROWS_PER_GROUP)

    def finish(self) -> tuple[IndexPart, Draft]:
        """Write the footer; the draft is still to be published."""
        self._wait()
        digests = "".join(self._digests).encode()
        self._writer.add_key_value_metadata({GROUP_KEYS: digests})
        self._writer.close()
        self._draft.close()
        self._finished = True
        keys_sha256 = hashlib.sha256(digests).hexdigest()
        part = IndexPart(self._name, self._rows, self._file.position, self._file.sha256(), keys_sha256)
        return part, self._draft

    def _wait(self) -> None:
        if self._written:
            self._written.result()


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


def _tables(batches: Iterator[pa.RecordBatch], rows_per_part: int) -> Iterator[pa.Table]:
    """Regroup batches into tables of whole row groups, none of which reaches into the next part.

    So a row's part and group follow from its number.
    """
    pending: list[pa.RecordBatch] = []
    rows, room, held_bytes = 0, rows_per_part, 0
    for batch in batches:
        while batch.num_rows:
            piece = batch.slice(0, room - rows)
            batch = batch.slice(piece.num_rows)
            pending.append(piece)
            rows += piece.num_rows
            held_bytes += piece.nbytes
            most_rows = ROWS_PER_GROUP * (1 if held_bytes >= BYTES_PER_WRITE else GROUPS_PER_WRITE)
            if rows == room or rows >= most_rows:
                whole = rows if rows == room else rows - rows % ROWS_PER_GROUP
                # Where a column is cut into chunks shows in the pages of the file.
                table = pa.Table.from_batches(pending, SCHEMA)
                pending, rows = table.slice(whole).to_batches(), rows - whole
                yield table.slice(0, whole).combine_chunks()
                room = room - whole or rows_per_part
                held_bytes = sum(each.nbytes for each in pending)
    if rows:
        yield pa.Table.from_batches(pending, SCHEMA).combine_chunks()
