"""How much of a parquet file may be in memory: a file of a megabyte may unpack to gigabytes, in three ways.

A page that compresses a thousandfold is refused by the footer's sizes. A long text that is stored once for many rows
stays so until it has been judged, and rows that share texts are handed on in pieces. And of a column of long texts
fewer rows are read at once.
"""

from collections.abc import Collection, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.errors import SourceError
from stages.sources.arrow_texts import byte_lengths, is_text

MOST_BATCH_BYTES = 1 << 22
SWOLLEN_BYTES = 1 << 26
SWOLLEN_RATIO = 100
"""Texts compress by five or ten; what unpacks to a hundred times its size and is large besides is no metadata."""
DICTIONARIES = {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}


def refuse_swollen(metadata: pq.FileMetaData, columns: Iterable[str], where: str) -> None:
    """Raise SourceError if a column of the file unpacks to far more than it has."""
    for name, chunk in _chunks(metadata, frozenset(columns)):
        packed, unpacked = chunk.total_compressed_size, chunk.total_uncompressed_size
        if unpacked > max(SWOLLEN_BYTES, SWOLLEN_RATIO * packed):
            raise SourceError(
                f"{where} column {name} must unpack to at most {SWOLLEN_RATIO} times its size, got {unpacked} bytes of "
                f"{packed}; leave the file out"
            )


def shared_texts(parquet: pq.ParquetFile, columns: Iterable[str]) -> tuple[str, ...]:
    """The columns of texts that are stored with a dictionary, at least in a part of the file."""
    schema, wanted = parquet.schema_arrow, frozenset(columns)
    kinds = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
    texts = {name for name in wanted if schema.get_field_index(name) >= 0 and schema.field(name).type in kinds}
    found = {name for name, chunk in _chunks(parquet.metadata, texts) if DICTIONARIES & {*chunk.encodings}}
    return tuple(sorted(found))


def rows_at_once(metadata: pq.FileMetaData, columns: Collection[str], most_rows: int) -> int:
    """How many rows make a batch of at most `MOST_BATCH_BYTES` where the rows are longest."""
    longest = 1.0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        sizes = (chunk.total_uncompressed_size for _, chunk in _chunks_of(metadata, group, frozenset(columns)))
        longest = max(longest, sum(sizes) / max(rows, 1))
    return max(1, min(most_rows, int(MOST_BATCH_BYTES / longest)))


def in_pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Halve a batch until the texts that its rows share have at most `MOST_BATCH_BYTES`."""
    if batch.num_rows < 2 or _shared_bytes(batch) <= MOST_BATCH_BYTES:
        yield batch
        return
    middle = batch.num_rows // 2
    yield from in_pieces(batch.slice(0, middle))
    yield from in_pieces(batch.slice(middle))


def _shared_bytes(batch: pa.RecordBatch) -> int:
    total = 0
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and is_text(column.type.value_type):
            total += pc.sum(byte_lengths(column.dictionary).take(column.indices)).as_py() or 0
    return total


def _chunks(metadata: pq.FileMetaData, names: Collection[str]) -> Iterator[tuple[str, pq.ColumnChunkMetaData]]:
    for group in range(metadata.num_row_groups):
        yield from _chunks_of(metadata, group, names)


def _chunks_of(
    metadata: pq.FileMetaData, group: int, names: Collection[str]
) -> Iterator[tuple[str, pq.ColumnChunkMetaData]]:
    for number in range(metadata.num_columns):
        chunk = metadata.row_group(group).column(number)
        name = chunk.path_in_schema.partition(".")[0]
        if name in names:
            yield name, chunk
