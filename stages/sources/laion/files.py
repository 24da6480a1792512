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
from stages.locations import file_system, local_path, open_file
from stages.sources.file_patterns import find_names
from stages.sources.laion.columns import NUMBERS, LaionColumns, find_columns
from stages.sources.laion.values import hash_identities, number_values, text_values

Item = TypeVar("Item")
Numbers: TypeAlias = npt.NDArray[np.int64]

BATCH_ROWS = 1 << 16
READ_BYTES = 1 << 20
"""Read at once from each column of a local file."""
LARGEST_SIZE_PIXELS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LaionFile:
    """A parquet file that has what is asked for."""

    root: str
    name: str
    """Relative to root."""
    rows: int
    columns: Mapping[str, str]
    """What a column means, to its name."""


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
            schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
        found.append(LaionFile(root, name, rows, find_columns(schema, columns, needed, _where(root, name))))
    return tuple(found)


def _where(root: str, name: str) -> str:
    return f"{root.rstrip('/')}/{name}"


@contextlib.contextmanager
def _opened(root: str, name: str) -> Iterator[pq.ParquetFile]:
    """Open a file for reading by columns; every failure until it is closed is a SourceError."""
    where, local = _where(root, name), local_path(root)
    try:
        with contextlib.ExitStack() as stack:
            if local is not None:
                # Buffered: a row group may be as large as the file.
                parquet = pq.ParquetFile(local / name, buffer_size=READ_BYTES, pre_buffer=False)
            else:
                files, path = file_system(root)
                # In few large requests, a row group at a time: each read waits for the network.
                parquet = pq.ParquetFile(stack.enter_context(open_file(files, f"{path}/{name}")), pre_buffer=True)
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
    where missing. What a file has no column for is missing in all of its rows. No batch has more than `batch_rows`.
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
    with _opened(file.root, file.name) as parquet:
        for groups, count in _group_row_groups(parquet, batch_rows):
            first, start = start, start + count
            if chosen is None or len(_between(chosen, first, start)):
                for batch in parquet.iter_batches(batch_rows, row_groups=groups, columns=columns, use_threads=False):
                    yield first, batch
                    first += batch.num_rows


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
        else:
            arrays[meaning] = text_values(values)
    return pa.RecordBatch.from_pydict(arrays)


def read_ahead(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """Yield what a generator yields, and let a thread make the next one meanwhile."""
    with contextlib.closing(items), ThreadPoolExecutor(1, thread_name_prefix="read") as reader:
        coming = reader.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = reader.submit(next, items, None)
            yield item
