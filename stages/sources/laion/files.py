"""The parquet files of a LAION subset, and their rows in one form, a batch at a time.

    root, patterns ──> files, sorted ──footers──> LaionFile: its columns by their meaning
    LaionFile ──row groups──> batches of `url, caption, width, ..., hash` in one form

Nothing but a batch or two is in memory, however large a file or its row groups are. The first rows come only after the
footer of every file has been read: a file that cannot be used is found at once.
"""

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import SourceError
from stages.locations import file_system, local_path, open_file, open_regular
from stages.sources.arrow_texts import without_long_texts
from stages.sources.caption_text import MOST_CAPTION_BYTES, captions_of_value
from stages.sources.file_patterns import find_names
from stages.sources.laion.bounds import in_pieces, refuse_swollen, rows_at_once, shared_texts
from stages.sources.laion.columns import NUMBERS, LaionColumns, find_columns
from stages.sources.laion.values import hash_identities, number_values, text_values
from stages.sources.values import LARGEST_SIZE_PIXELS

Item = TypeVar("Item")
Numbers: TypeAlias = npt.NDArray[np.int64]

BATCH_ROWS = 1 << 16
READ_BYTES = 1 << 20
"""Read at once from each column of a local file."""
MOST_URL_BYTES = 1 << 13
"""Servers and browsers take no longer address."""


@dataclass(frozen=True, slots=True)
class LaionFile:
    """A parquet file that has what is asked for."""

    root: str
    name: str
    """Relative to root."""
    rows: int
    columns: Mapping[str, str]
    """What a column means, to its name."""
    shared: tuple[str, ...]
    """Columns of texts that may be stored once for many rows: read so, or a megabyte of a file would be gigabytes."""


def find_files(
    root: str, patterns: Sequence[str], columns: LaionColumns, needed: Mapping[str, str]
) -> tuple[LaionFile, ...]:
    """List the files below root that patterns mean: in the order of the patterns, sorted in each, none twice.

    Raises SourceError for a pattern without a match and for a file that is missing, no parquet or without a column.
    """
    files, path = file_system(root)
    found = []
    for name in find_names(files, path, root, "source.files", patterns):
        with _opened(root, name) as parquet:
            where, rows = _where(root, name), parquet.metadata.num_rows
            known = find_columns(parquet.schema_arrow, columns, needed, where)
            refuse_swollen(parquet.metadata, known.values(), where)
            found.append(LaionFile(root, name, rows, known, shared_texts(parquet, known.values())))
    return tuple(found)


def _where(root: str, name: str) -> str:
    return f"{root.rstrip('/')}/{name}"


@contextlib.contextmanager
def _opened(root: str, name: str, shared: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """Open a file for reading by columns; every failure until it is closed is a SourceError."""
    where, local = _where(root, name), local_path(root)
    try:
        with contextlib.ExitStack() as stack:
            if local is not None:
                open_regular(local / name).close()  # Arrow would wait for a pipe's writer
                # Buffered: a row group may be as large as the file.
                parquet = pq.ParquetFile(
                    local / name, buffer_size=READ_BYTES, pre_buffer=False, read_dictionary=list(shared)
                )
            else:
                files, path = file_system(root)
                # In few large requests, a row group at a time: each read waits for the network.
                file = stack.enter_context(open_file(files, f"{path}/{name}"))
                parquet = pq.ParquetFile(file, pre_buffer=True, read_dictionary=list(shared))
            yield stack.enter_context(parquet)
    except FileNotFoundError:
        raise SourceError(f"{where} must be a parquet file, got no file; fix source.root or source.files") from None
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise SourceError(f"{where} must be a readable parquet file, got {reason}; download it again") from None


def read_batches(
    files: Sequence[LaionFile], meanings: Sequence[str], chosen: Numbers | None = None, batch_rows: int = BATCH_ROWS
) -> Generator[pa.RecordBatch, None, None]:
    """Read all rows, or those whose sorted numbers are `chosen`; row groups without any of them are not read.

    `number` counts the rows from the first one of the first file. Of `meanings`, url, caption and license become
    strings, null where missing; hash becomes hash_high, hash_low (its identity) and has_hash; all others float64, NaN
    where missing. Captions in a list become the first and `more_captions`. What a file has no column for is missing,
    and so is a text that is too long. No batch has more than `batch_rows`.
    """
    start = 0
    for file in files:
        columns = [file.columns[meaning] for meaning in meanings if meaning in file.columns]
        some = None if chosen is None else _between(chosen, start, start + file.rows) - start
        for first, batch in _read_file(file, columns, some, batch_rows):
            numbers = np.arange(first, first + batch.num_rows)
            rows = _in_one_form(batch, numbers + start, file.columns, meanings)
            yield rows if some is None else rows.take(pa.array(_between(some, first, first + batch.num_rows) - first))
        start += file.rows


def _between(numbers: Numbers, first: int, stop: int) -> Numbers:
    """Those of sorted numbers that lie in [first, stop)."""
    return numbers[np.searchsorted(numbers, first) : np.searchsorted(numbers, stop)]


def _read_file(
    file: LaionFile, columns: list[str], chosen: Numbers | None, batch_rows: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield batches, each with the number of its first row in the file."""
    start = 0
    with _opened(file.root, file.name, file.shared) as parquet:
        batch_rows = rows_at_once(parquet.metadata, columns, batch_rows)
        for groups, count in _group_row_groups(parquet, batch_rows):
            first, start = start, start + count
            if chosen is None or len(_between(chosen, first, start)):
                for batch in parquet.iter_batches(batch_rows, row_groups=groups, columns=columns, use_threads=False):
                    for piece in in_pieces(batch):
                        yield first, piece
                        first += piece.num_rows


def _group_row_groups(parquet: pq.ParquetFile, batch_rows: int) -> Iterator[tuple[list[int], int]]:
    """Join row groups until they have a batch of rows, since some writers make them small; with their rows."""
    groups: list[int] = []
    count = 0
    for group in range(parquet.num_row_groups):
        groups.append(group)
        count += parquet.metadata.row_group(group).num_rows
        if count >= batch_rows:
            yield groups, count
            groups, count = [], 0
    if groups:
        yield groups, count


def _in_one_form(
    batch: pa.RecordBatch, numbers: Numbers, columns: Mapping[str, str], meanings: Sequence[str]
) -> pa.RecordBatch:
    arrays: dict[str, pa.Array] = {"number": pa.array(numbers)}
    for meaning in meanings:
        values = batch.column(columns[meaning]) if meaning in columns else pa.nulls(batch.num_rows)
        if meaning == "hash":
            identities, there = hash_identities(values)
            arrays |= {"hash_high": pa.array(identities[:, 0]), "hash_low": pa.array(identities[:, 1])}
            arrays["has_hash"] = pa.array(there)
        elif meaning in NUMBERS:
            floats = number_values(values)
            if meaning in ("width", "height"):
                floats[~((floats >= 1) & (floats <= LARGEST_SIZE_PIXELS))] = np.nan
            arrays[meaning] = pa.array(floats)
        elif meaning == "caption" and pa.types.is_list(values.type):
            captions = [captions_of_value(value) for value in without_long_texts(values).to_pylist()]
            arrays["caption"] = pa.array([found[0] if found else None for found in captions], pa.string())
            arrays["more_captions"] = pa.array([found[1:] for found in captions], pa.list_(pa.string()))
        else:
            arrays[meaning] = text_values(
                without_long_texts(values, MOST_URL_BYTES if meaning == "url" else MOST_CAPTION_BYTES)
            )
    return pa.RecordBatch.from_pydict(arrays)


def read_ahead(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """Yield what a generator yields, and let a thread make the next one meanwhile."""
    with contextlib.closing(items), ThreadPoolExecutor(1, thread_name_prefix="read") as reader:
        coming = reader.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = reader.submit(next, items, None)
            yield item
