"""The index: every candidate of a data set in order, in parts, written once and trusted by every later run.

    OUT/index.json ──names, rows, hashes──> OUT/index/0000000.parquet, 0000001.parquet, ...   1 M rows a part
                                              └── rows [start, stop) ──> IndexRow

Whoever starts reads index.json alone. A worker reads only the row groups that its plan touches, and knows by the digest
of their keys that they are the rows that were planned: each part lists the digests of its groups, and index.json the
digest of that list.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from socket import gethostname
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.fingerprint import FORMAT_VERSION
from pipeline.dataset.storage import Directory
from stages.errors import ManifestError
from stages.records import IndexRow
from stages.sources.index.schema import SCHEMA, from_table

Numbers: TypeAlias = npt.NDArray[np.int64]

INDEX_FILE = "index.json"
PARTS = "index"
"""The folder of the parts."""
ROWS_PER_PART = 1_000_000
ROWS_PER_GROUP = 4096
GROUP_KEYS = b"condset.group_keys"
"""In a part's metadata: the digests of the keys of its row groups, `GROUP_DIGITS` hex digits each, in order."""
GROUP_DIGITS = 16


@dataclass(frozen=True, slots=True)
class IndexPart:
    """One file of the index."""

    file: str
    """In `PARTS`."""
    rows: int
    bytes: int
    sha256: str
    keys_sha256: str
    """Of the digests of its groups' keys, by which a worker that reads a few rows knows the part."""


@dataclass(frozen=True, slots=True)
class Index:
    """index.json: what the index is, without its rows; picklable."""

    parts: tuple[IndexPart, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)
    """How many rows of the source are not in it, by the filter that dropped them, in the order of the filters."""
    listed_by: str = ""
    """The digest of the settings that it was listed by."""
    rows_per_part: int = ROWS_PER_PART
    """Of all parts but the last."""

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def digest(self) -> str:
        """Of the parts' hashes: enters the fingerprint of what is made from these rows."""
        return hashlib.sha256("\n".join(part.sha256 for part in self.parts).encode()).hexdigest()

    def to_json(self) -> bytes:
        fields = {"format": FORMAT_VERSION, "rows": self.rows, "digest": self.digest} | asdict(self)
        return json.dumps(fields, ensure_ascii=False, indent=2).encode() + b"\n"


def open_index(directory: Directory) -> Index:
    """Read index.json; ManifestError if there is none or it is not ours. None of the parts is looked at."""
    where = directory / INDEX_FILE
    try:
        fields = json.loads(directory.read(INDEX_FILE))
        parts = tuple(IndexPart(**part) for part in fields["parts"])
        index = Index(parts, dict(fields["dropped"]), fields["listed_by"], fields["rows_per_part"])
        if (index.rows, index.digest) != (fields["rows"], fields["digest"]):
            raise ValueError("its rows or its digest are not those of its parts")
        *whole, last = index.parts
        if any(part.rows != index.rows_per_part for part in whole) or not 0 < last.rows <= index.rows_per_part:
            raise ValueError(f"its parts are not of {index.rows_per_part} rows")
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(
            f"{where} must describe the parts of an index, got {error!r}; remove it and {PARTS}/, and prepare again"
        ) from None
    return index


def group_digest(keys: pa.ChunkedArray) -> str:
    """Return the digest of the keys of one row group."""
    return hashlib.sha256("\n".join(keys.to_pylist()).encode()).hexdigest()[:GROUP_DIGITS]


class IndexReader:
    """Reads rows of an index, and keeps the part that it read last open. For one thread."""

    def __init__(self, directory: Directory, index: Index) -> None:
        """Nothing is opened yet."""
        self._directory = directory
        self._index = index
        self._number = -1
        self._file: BinaryIO | None = None
        self._part: pq.ParquetFile | None = None
        self._digests: list[str] = []

    def __enter__(self) -> "IndexReader":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the part that is open."""
        if self._file is not None:
            self._file.close()
        self._number, self._file, self._part = -1, None, None

    def read(self, start: int, stop: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Read rows [start, stop), all columns or some of them, touching only their row groups.

        Raises ManifestError if a part is missing, damaged or not the one that index.json names.
        """
        tables = []
        while start < stop:
            number, first = divmod(start, self._index.rows_per_part)
            rows = min(stop - start, self._index.rows_per_part - first)
            tables.append(self._read(number, first, first + rows, columns))
            start += rows
        return pa.concat_tables(tables)

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Read some columns of all rows, a few groups at a time; raises what `read` raises."""
        for start in range(0, self._index.rows, ROWS_PER_GROUP):
            yield self.read(start, min(start + ROWS_PER_GROUP, self._index.rows), columns)

    def _read(self, number: int, first: int, stop: int, columns: Sequence[str] | None) -> pa.Table:
        """Read rows of one part, by their numbers in it."""
        try:
            return self._read_open(self._open(number), number, first, stop, columns)
        except FileNotFoundError:
            raise self._unusable(
                number, f"none on {gethostname()}, which must share the directory if several machines work"
            ) from None
        except (OSError, ValueError, pa.ArrowException) as error:  # pyarrow's, of a file that is damaged
            raise self._unusable(number, f"{type(error).__name__}: {' '.join(str(error).split())}") from error

    def _read_open(
        self, part: pq.ParquetFile, number: int, first: int, stop: int, columns: Sequence[str] | None
    ) -> pa.Table:
        first_group, last_group = first // ROWS_PER_GROUP, (stop - 1) // ROWS_PER_GROUP
        wanted = None if columns is None else [*dict.fromkeys(["key", *columns])]
        groups = list(range(first_group, last_group + 1))
        table = part.read_row_groups(groups, columns=wanted, use_threads=False)
        for position, group in enumerate(groups):
            keys = table.column("key").slice(position * ROWS_PER_GROUP, ROWS_PER_GROUP)
            if group >= len(self._digests) or group_digest(keys) != self._digests[group]:
                raise self._unusable(number, "one of other rows")
        table = table.slice(first - first_group * ROWS_PER_GROUP, stop - first)
        return table if columns is None else table.select(columns)

    def _open(self, number: int) -> pq.ParquetFile:
        if number == self._number and self._part is not None:
            return self._part
        self.close()
        expected = self._index.parts[number]
        file = (self._directory / PARTS).open(expected.file)
        try:
            part = open_part(file)
            text = (part.metadata.metadata or {}).get(GROUP_KEYS, b"")
        except BaseException:
            file.close()
            raise
        self._number, self._file, self._part = number, file, part
        if part.schema_arrow.names != SCHEMA.names or hashlib.sha256(text).hexdigest() != expected.keys_sha256:
            raise self._unusable(number, "one of other rows")
        digits = text.decode()
        self._digests = [digits[place : place + GROUP_DIGITS] for place in range(0, len(digits), GROUP_DIGITS)]
        return part

    def _unusable(self, number: int, got: str) -> ManifestError:
        where = self._directory / PARTS / self._index.parts[number].file
        return ManifestError(
            f"{where} must be the part that {INDEX_FILE} names, got {got}; restore it, or remove "
            f"{INDEX_FILE} and {PARTS}/ and prepare into another directory"
        )


def open_part(file: BinaryIO) -> pq.ParquetFile:
    """Read a part's footer, and nothing ahead.

    pyarrow's own threads, which would read ahead, free Python's buffers a moment after they are read. If the program
    ends in that moment, it is aborted: one `condset verify` in five was.
    """
    return pq.ParquetFile(file, pre_buffer=False)


def read_rows(directory: Directory, index: Index, start: int, stop: int) -> list[IndexRow]:
    """Read rows [start, stop) of the index; raises what `IndexReader.read` raises."""
    with IndexReader(directory, index) as reader:
        return from_table(reader.read(start, stop))


def part_sha256(directory: Directory, part: IndexPart) -> str:
    """Hash a part as it lies there; an empty text if there is none."""
    with suppress(FileNotFoundError), (directory / PARTS).open(part.file) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any readable file does
    return ""
