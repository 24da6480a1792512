"""Listing into an index of several parts: which rows a worker reads, how it knows them, when they appear."""

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.index import GROUP_KEYS, PARTS, ROWS_PER_GROUP, Index, IndexReader, open_index, read_rows
from pipeline.dataset.listing import write_index
from pipeline.dataset.storage import Directory
from stages.errors import ManifestError, ShardConflict, SourceError, StorageError
from stages.records import IndexRow, Reason
from stages.sources.index.schema import NO_KEYPOINTS
from stages.sources.laion.source import LaionSource
from tests.pipeline.conftest import tree
from tests.pipeline.dataset.test_index import ListedSource
from tests.stages.sources.laion.tables import write_tables

ROWS_PER_PART = ROWS_PER_GROUP + 5
"""The second group of a part has five rows."""


def row(number: int, key: str = "") -> IndexRow:
    return IndexRow(key or f"{number:06d}", f"{number}.jpg", ("a",), "", "", 0, 0, NO_KEYPOINTS, "", {}, None)


def rows(count: int) -> list[IndexRow]:
    return [row(number) for number in range(count)]


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(str(tmp_path / "data"))


@pytest.fixture
def four(directory: Directory) -> Index:
    """Ten rows, three to a part."""
    return write_index(directory, ListedSource(rows(10)), 0, rows_per_part=3)


def keys(directory: Directory, index: Index, start: int, stop: int) -> list[int]:
    return [int(each.key) for each in read_rows(directory, index, start, stop)]


def test_every_part_but_the_last_has_as_many_rows(directory: Directory, four: Index) -> None:
    assert [(part.file, part.rows) for part in four.parts] == [
        ("0000000.parquet", 3),
        ("0000001.parquet", 3),
        ("0000002.parquet", 3),
        ("0000003.parquet", 1),
    ]
    for part in four.parts:
        content = directory.read(f"index/{part.file}")
        assert (part.bytes, part.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert open_index(directory) == four


def test_any_rows_are_read_from_whatever_parts_they_lie_in(directory: Directory, four: Index) -> None:
    for start in range(10):
        for stop in range(start + 1, 11):
            assert keys(directory, four, start, stop) == list(range(start, stop))


def test_rows_are_read_across_parts_and_groups(directory: Directory) -> None:
    count = 2 * ROWS_PER_PART + 9
    index = write_index(directory, ListedSource(rows(count)), 0, rows_per_part=ROWS_PER_PART)
    metadata = pq.read_metadata(Path(str(directory)) / "index/0000001.parquet")
    assert [metadata.row_group(number).num_rows for number in range(2)] == [ROWS_PER_GROUP, 5]
    edges = [0, ROWS_PER_GROUP, ROWS_PER_PART, ROWS_PER_PART + ROWS_PER_GROUP, 2 * ROWS_PER_PART]
    for edge in edges:
        start, stop = max(edge - 3, 0), min(edge + 7, count)
        assert keys(directory, index, start, stop) == list(range(start, stop))
    with IndexReader(directory, index) as reader:
        found = [key for table in reader.tables(["key"]) for key in table.column("key").to_pylist()]
    assert found == [f"{number:06d}" for number in range(count)]


def test_only_the_part_of_the_rows_is_opened(directory: Directory, four: Index) -> None:
    for name in ("0000000.parquet", "0000001.parquet", "0000003.parquet"):
        (directory / "index").remove(name)
    assert open_index(directory) == four
    assert keys(directory, four, 6, 9) == [6, 7, 8]
    with pytest.raises(ManifestError, match=r"0000001\.parquet must be the part that index\.json names, got none on "):
        keys(directory, four, 5, 7)


@pytest.mark.parametrize(
    ("count", "rows_per_part"),
    [
        (50, 7),
        (9000, ROWS_PER_PART),
        pytest.param(70_000, 66_000, marks=pytest.mark.slow),  # more groups than are written at once
    ],
)
def test_how_a_source_cuts_its_rows_into_batches_does_not_show(tmp_path: Path, count: int, rows_per_part: int) -> None:
    for batch_rows in (count, 3001, 11):
        out = Directory(str(tmp_path / str(batch_rows)))
        write_index(out, ListedSource(rows(count), batch_rows), 0, rows_per_part=rows_per_part)
    assert tree(tmp_path / str(count)) == tree(tmp_path / "3001") == tree(tmp_path / "11")


def test_a_limit_ends_the_index_in_the_middle_of_a_part_or_at_its_end(tmp_path: Path) -> None:
    for limit, last in ((7, 1), (6, 3)):
        index = write_index(Directory(str(tmp_path / str(limit))), ListedSource(rows(10)), limit, rows_per_part=3)
        assert (index.rows, index.parts[-1].rows) == (limit, last)


def test_a_key_that_is_there_again_in_another_part_is_rejected(directory: Directory) -> None:
    listed = [*rows(5), row(5, "000001"), row(6), row(7, "000001"), row(8, "000006")]
    index = write_index(directory, ListedSource(listed), 0, rows_per_part=2)
    found = read_rows(directory, index, 0, 9)
    assert [each.key for each in found] == [each.key for each in listed]
    rejected = {number: each.rejection.reason for number, each in enumerate(found) if each.rejection}
    assert rejected == dict.fromkeys((5, 7, 8), Reason.DUPLICATE_KEY)
    assert sorted(tree(Path(str(directory)))) == [
        "index.json",
        *(f"index/000000{number}.parquet" for number in range(5)),
    ]


def test_a_part_of_other_rows_is_known_by_their_keys(directory: Directory, four: Index, tmp_path: Path) -> None:
    other = Directory(str(tmp_path / "other"))
    write_index(other, ListedSource([row(number + 100) for number in range(10)]), 0, rows_per_part=3)
    shutil.copyfile(f"{other}/index/0000001.parquet", f"{directory}/index/0000001.parquet")
    assert keys(directory, four, 0, 3) == [0, 1, 2]
    with pytest.raises(ManifestError) as caught:
        keys(directory, four, 3, 6)
    assert str(caught.value) == (
        f"{directory}/index/0000001.parquet must be the part that index.json names, got one of other rows; restore it, "
        "or remove index.json and index/ and prepare into another directory"
    )


def test_a_part_of_other_rows_that_claims_to_be_the_same_is_known_all_the_same(
    directory: Directory, four: Index
) -> None:
    path = Path(str(directory / "index" / "0000001.parquet"))
    table, digests = pq.read_table(path), pq.read_metadata(path).metadata[GROUP_KEYS]
    other = table.set_column(0, "key", pa.array([f"{number:06d}" for number in (3, 5, 4)]))
    pq.write_table(other.replace_schema_metadata({GROUP_KEYS: digests}), path)
    with pytest.raises(ManifestError, match=r"index/0000001\.parquet must be the part that index\.json names, got one"):
        keys(directory, four, 3, 6)


def test_an_index_json_that_does_not_agree_with_itself_is_refused(directory: Directory, four: Index) -> None:
    whole = json.loads(directory.read("index.json"))
    parts = whole["parts"]
    damages: list[tuple[dict[str, object], str]] = [
        ({"digest": "0" * 64}, "its rows or its digest are not those of its parts"),
        ({"rows": 11}, "its rows or its digest are not those of its parts"),
        ({"parts": parts[:-1]}, "its rows or its digest are not those of its parts"),
        ({"parts": [parts[0] | {"sha256": "0" * 64}, *parts[1:]]}, "its rows or its digest are not those of its parts"),
        ({"rows_per_part": 4}, "its parts are not of 4 rows"),
        ({"rows_per_part": 0}, "its parts are not of 0 rows"),
    ]
    for damage, what in damages:
        directory.write("index.json", json.dumps(whole | damage).encode())
        with pytest.raises(ManifestError) as caught:
            open_index(directory)
        assert str(caught.value) == (
            f"{directory}/index.json must describe the parts of an index, got ValueError({what!r}); remove it and "
            "index/, and prepare again"
        )


def test_rows_in_another_number_of_parts_have_another_digest(tmp_path: Path) -> None:
    digests = {
        write_index(Directory(str(tmp_path / str(size))), ListedSource(rows(6)), 0, rows_per_part=size).digest
        for size in (2, 3, 6)
    }
    assert len(digests) == 3


class EndingSource(ListedSource):
    """A source that ends with an error after some of its rows."""

    def __init__(self, rows: list[IndexRow], error: BaseException) -> None:
        super().__init__(rows, batch_rows=1)
        self._error = error

    def batches(self) -> Iterator[pa.RecordBatch]:
        yield from super().batches()
        raise self._error


@pytest.mark.parametrize("error", [SourceError("the disk is gone"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
@pytest.mark.parametrize("count", [0, 1, 6, 8])
def test_a_listing_that_fails_or_is_interrupted_leaves_no_part(
    directory: Directory, error: BaseException, count: int
) -> None:
    with pytest.raises(type(error)):
        write_index(directory, EndingSource(rows(count), error), 0, rows_per_part=3)
    assert tree(Path(str(directory))) == {}
    assert write_index(directory, ListedSource(rows(8)), 0, rows_per_part=3).rows == 8


def test_what_another_run_has_listed_meanwhile_stays(directory: Directory, four: Index) -> None:
    before = tree(Path(str(directory)))
    assert write_index(directory, ListedSource(rows(10)), 0, rows_per_part=3) == four
    assert tree(Path(str(directory))) == before
    listed = [*rows(4), replace(row(4), captions=("another",)), *rows(10)[5:]]
    with pytest.raises(ShardConflict, match=r"index/0000001\.parquet must have the bytes that this run"):
        write_index(directory, ListedSource(listed), 0, rows_per_part=3)
    with pytest.raises(ShardConflict, match=r"index\.json must have the bytes that this run makes, got others"):
        write_index(directory, ListedSource(rows(10)), 0, "other settings", rows_per_part=3)
    assert tree(Path(str(directory))) == before


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's list of open files")
@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_a_listing_of_many_parts_keeps_few_files_open(tmp_path: Path, scheme: str) -> None:
    opened = set()

    class Watching(ListedSource):
        def batches(self) -> Iterator[pa.RecordBatch]:
            for batch in super().batches():
                opened.add(len(list(Path("/proc/self/fd").iterdir())))
                yield batch

    write_index(Directory(f"{scheme}{tmp_path}/data"), Watching(rows(40), batch_rows=1), 0, rows_per_part=1)
    assert max(opened) - min(opened) <= 3


def threads_that_list() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith(("read", "write"))]


@pytest.mark.parametrize("sample", [0, 500])
def test_no_thread_is_left_after_all_rows_some_rows_and_an_error(sample: int, tmp_path: Path) -> None:
    write_tables(tmp_path, 2000, seed=1)
    source = LaionSource(root=str(tmp_path), files="*.parquet", sample=sample)
    some, every, failed = (Directory(str(tmp_path / name)) for name in ("some", "every", "failed"))
    assert write_index(some, source, 10).rows == 10
    assert threads_that_list() == []
    assert write_index(every, source, 0).rows > 10
    assert threads_that_list() == []
    failed.make()
    (tmp_path / "failed" / PARTS).write_text("a file where the folder goes")
    with pytest.raises(StorageError, match="File exists") as error:
        write_index(failed, source, 0, rows_per_part=100)
    assert threads_that_list() == [], "the traceback holds the generators that read ahead"
    assert error.traceback
