from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.index import ROWS_PER_GROUP, open_index, read_rows, write_index
from pipeline.storage import Directory
from stages.errors import ManifestError, SourceError
from stages.records import IndexRow, Reason
from stages.sources.index_schema import to_batches
from stages.sources.synthetic import SyntheticSource


class ListedSource:
    """A source of the rows it is given."""

    kind, split, base_uri, label_offset = "listed", "train", "", 0
    labels: Mapping[int, str] = {}

    def __init__(self, rows: list[IndexRow]) -> None:
        self._rows = rows

    def batches(self) -> Iterator[pa.RecordBatch]:
        return to_batches(self._rows)


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(str(tmp_path))


@pytest.fixture
def row() -> IndexRow:
    keypoints = np.arange(2 * 17 * 3, dtype=np.float32).reshape(2, 17, 3)
    return IndexRow("k", "u.jpg", ("blå", "雪"), "http://x", "CC", 3, 4, keypoints, "l.png", {"aesthetic": 5.5}, None)


def test_a_row_survives_the_file(directory: Directory, row: IndexRow) -> None:
    write_index(directory, ListedSource([row]), 0)
    (read,) = read_rows(directory, 0, 1)
    assert np.array_equal(read.keypoints, row.keypoints)
    assert replace(read, keypoints=row.keypoints) == row


def test_ranges_across_row_groups_are_the_listed_rows(directory: Directory, row: IndexRow) -> None:
    rows = [replace(row, key=str(number)) for number in range(2 * ROWS_PER_GROUP + 7)]
    assert write_index(directory, ListedSource(rows), 0).rows == len(rows)
    for start, stop in [(0, 3), (ROWS_PER_GROUP - 2, ROWS_PER_GROUP + 2), (ROWS_PER_GROUP, len(rows))]:
        assert [each.key for each in read_rows(directory, start, stop)] == [str(n) for n in range(start, stop)]


def test_the_limit_takes_the_first_rows(directory: Directory) -> None:
    assert write_index(directory, SyntheticSource(count=9), 4).rows == 4
    assert [row.key for row in read_rows(directory, 0, 4)] == [f"{n:09d}" for n in range(4)]


def test_a_second_row_with_a_key_is_rejected_and_still_counted(directory: Directory, row: IndexRow) -> None:
    assert write_index(directory, ListedSource([row, replace(row, key="other"), row]), 0).rows == 3
    reasons = [each.rejection.reason if each.rejection else None for each in read_rows(directory, 0, 3)]
    assert reasons == [None, None, Reason.DUPLICATE_KEY]


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    hashes = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        hashes.append(write_index(Directory(str(tmp_path / name)), SyntheticSource(count=5), 0).sha256)
    assert hashes[0] == hashes[1]


def test_an_empty_source_is_an_error_and_leaves_no_index(directory: Directory) -> None:
    with pytest.raises(SourceError, match="source listed  must list at least one image, got none"):
        write_index(directory, ListedSource([]), 0)
    assert directory.names() == []


def test_a_file_that_is_no_index_is_an_error(directory: Directory) -> None:
    directory.write("index.parquet", b"not parquet")
    with pytest.raises(ManifestError, match=r"index\.parquet must be a parquet index"):
        open_index(directory)
