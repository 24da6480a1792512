import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.index import ROWS_PER_GROUP, open_index, read_rows
from pipeline.dataset.listing import write_index
from pipeline.dataset.storage import Directory
from stages.errors import ManifestError, SourceError
from stages.records import IndexRow, Reason, Rejection
from stages.sources.index.dropped import with_dropped
from stages.sources.index.schema import SCHEMA, to_batches
from stages.sources.laion.source import LaionSource
from stages.sources.synthetic.source import SyntheticSource
from tests.pipeline.conftest import tree


class ListedSource:
    """A source of the rows it is given."""

    kind, split, base_uri, label_base_uri, label_offset = "listed", "train", "", "", 0
    labels: Mapping[int, str] = {}

    def __init__(self, rows: list[IndexRow], batch_rows: int = 4096) -> None:
        self._rows, self._batch_rows = rows, batch_rows

    def batches(self) -> Iterator[pa.RecordBatch]:
        whole = pa.Table.from_batches(to_batches(self._rows), SCHEMA).combine_chunks()
        yield from whole.to_batches(self._batch_rows)


class FilteringSource(ListedSource):
    """A source that drops two rows before each batch, and one at the end."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        for batch in super().batches():
            yield with_dropped(batch, {"small": 2, "unsafe": 0})
        yield with_dropped(pa.RecordBatch.from_pylist([], SCHEMA), {"small": 1, "unsafe": 0})


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(str(tmp_path))


@pytest.fixture
def row() -> IndexRow:
    keypoints = np.arange(2 * 17 * 3, dtype=np.float32).reshape(2, 17, 3)
    scores = {"aesthetic": 5.5}
    facts: dict[str, str | int] = {"copyright": "© 雪", "hash": -(2**53) - 1}
    return IndexRow("k", "u.jpg", ("blå", "雪"), "http://x", "CC", 3, 4, keypoints, "l.png", scores, None, facts)


def test_a_row_survives_the_file(directory: Directory, row: IndexRow) -> None:
    index = write_index(directory, ListedSource([row]), 0)
    (read,) = read_rows(directory, index, 0, 1)
    assert np.array_equal(read.keypoints, row.keypoints)
    assert replace(read, keypoints=row.keypoints) == row


def test_ranges_across_row_groups_are_the_listed_rows(directory: Directory, row: IndexRow) -> None:
    rows = [replace(row, key=str(number)) for number in range(2 * ROWS_PER_GROUP + 7)]
    index = write_index(directory, ListedSource(rows), 0)
    assert index.rows == len(rows)
    for start, stop in [(0, 3), (ROWS_PER_GROUP - 2, ROWS_PER_GROUP + 2), (ROWS_PER_GROUP, len(rows))]:
        assert [each.key for each in read_rows(directory, index, start, stop)] == [str(n) for n in range(start, stop)]


def test_the_limit_takes_the_first_rows(directory: Directory) -> None:
    index = write_index(directory, SyntheticSource(count=9), 4)
    assert index.rows == 4
    assert [row.key for row in read_rows(directory, index, 0, 4)] == [f"{n:09d}" for n in range(4)]


def test_a_second_row_with_a_key_is_rejected_and_still_counted(directory: Directory, row: IndexRow) -> None:
    index = write_index(directory, ListedSource([row, replace(row, key="other"), row]), 0)
    assert index.rows == 3
    reasons = [each.rejection.reason if each.rejection else None for each in read_rows(directory, index, 0, 3)]
    assert reasons == [None, None, Reason.DUPLICATE_KEY]


def test_duplicates_are_found_across_batches_for_keys_of_any_form(directory: Directory, row: IndexRow) -> None:
    rng = random.Random(0)
    forms: list[Callable[[int], str]] = [
        lambda number: f"{number:012d}",
        lambda number: f"{number:020x}",
        lambda number: f"{number:020X}",
        lambda number: f"é{number}",
        lambda number: "x" * (number % 50),
    ]
    keys = [rng.choice(forms)(rng.randrange(3000)) for _ in range(9000)]
    rejection = Rejection("", Reason.NO_CAPTION, "none")
    rows = [replace(row, key=key, rejection=rng.choice([None, None, rejection])) for key in keys]
    index = write_index(directory, ListedSource(rows), 0)
    seen: set[str] = set()
    for number, (listed, found) in enumerate(zip(rows, read_rows(directory, index, 0, len(rows)), strict=True)):
        expected = listed.rejection and replace(listed.rejection, key=listed.key)
        if listed.key in seen and not expected:
            expected = Rejection(listed.key, Reason.DUPLICATE_KEY, f"key {listed.key} is already in the index")
        assert (found.key, found.rejection) == (listed.key, expected), number
        seen.add(listed.key)


def test_what_the_source_drops_is_counted_in_the_file(directory: Directory, row: IndexRow) -> None:
    rows = [replace(row, key=str(number)) for number in range(25)]
    written = write_index(directory, FilteringSource(rows, 10), 0)
    assert written.dropped == {"small": 7, "unsafe": 0}
    assert open_index(directory) == written
    limited = write_index(directory / "limited", FilteringSource(rows, 10), 12)
    assert (limited.rows, limited.dropped) == (12, {"small": 4, "unsafe": 0})


def test_the_file_remembers_what_it_was_listed_by(directory: Directory) -> None:
    assert write_index(directory, SyntheticSource(count=3), 0, "0123").listed_by == "0123"
    assert open_index(directory).listed_by == "0123"


def test_a_source_that_drops_nothing_says_nothing_of_it(directory: Directory) -> None:
    assert write_index(directory, SyntheticSource(count=3), 0).dropped == {}


def test_a_source_that_drops_everything_says_by_which_filter(directory: Directory) -> None:
    with pytest.raises(SourceError, match=r"got none; its filters dropped all rows: 1 small$"):
        write_index(directory, FilteringSource([]), 0)


def test_the_bytes_do_not_depend_on_the_batches(directory: Directory, tmp_path: Path, row: IndexRow) -> None:
    rows = [replace(row, key=str(number), source_url="x" * (number % 997)) for number in range(70_000)]
    digests = {write_index(directory / str(size), ListedSource(rows, size), 0).digest for size in (70_000, 3001)}
    assert len(digests) == 1
    metadata = pq.read_metadata(tmp_path / "70000/index/0000000.parquet")
    groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert groups == [ROWS_PER_GROUP] * 17 + [70_000 % ROWS_PER_GROUP]


def test_a_listing_that_is_limited_leaves_no_thread_behind(tmp_path: Path) -> None:
    table = pa.table({"url": [f"http://x/{number}" for number in range(300_000)], "text": ["cat"] * 300_000})
    pq.write_table(table, tmp_path / "a.parquet")
    before = threading.active_count()
    assert write_index(Directory(str(tmp_path)), LaionSource(root=str(tmp_path), files="a.parquet"), 5).rows == 5
    assert threading.active_count() == before


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_index(Directory(str(tmp_path / name)), SyntheticSource(count=5), 0)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_an_empty_source_is_an_error_and_leaves_no_index(directory: Directory) -> None:
    with pytest.raises(SourceError, match=r"source listed must list at least one image, got none$"):
        write_index(directory, ListedSource([]), 0)
    assert directory.names() == []


def test_a_table_of_other_columns_is_an_error(directory: Directory, tmp_path: Path) -> None:
    index = write_index(directory, SyntheticSource(count=1), 0)
    pq.write_table(pa.table({"url": ["http://x/0"], "text": ["cat"]}), tmp_path / "index/0000000.parquet")
    with pytest.raises(ManifestError, match=r"index/0000000\.parquet must be the part that index\.json names, got one"):
        read_rows(directory, index, 0, 1)


def test_a_file_that_is_no_index_is_an_error(directory: Directory) -> None:
    directory.write("index.json", b"not JSON")
    with pytest.raises(ManifestError, match=r"index\.json must describe the parts of an index, got JSONDecodeError"):
        open_index(directory)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's list of threads")
def test_reading_leaves_no_thread_that_could_abort_the_end_of_the_program(directory: Directory) -> None:
    write_index(directory, SyntheticSource(count=5000), 0)
    program = f"""
import os
from pipeline.dataset.index import open_index, read_rows
from pipeline.dataset.storage import Directory
directory = Directory({directory.location!r})
index = open_index(directory)
before = os.listdir("/proc/self/task")
read_rows(directory, index, 0, 5000)
print(set(os.listdir("/proc/self/task")) - set(before))
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert printed == "set()\n"
