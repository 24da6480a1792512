"""Listing ends the threads of its source with it, whether it takes all rows, some of them or fails."""

import threading
from pathlib import Path

import pytest

from pipeline.dataset.index import PARTS
from pipeline.dataset.listing import write_index
from pipeline.dataset.storage import Directory
from stages.sources.laion.source import LaionSource
from tests.stages.sources.laion.tables import write_tables


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
    with pytest.raises(FileExistsError) as error:
        write_index(failed, source, 0, rows_per_part=100)
    assert threads_that_list() == [], "the traceback holds the generators that read ahead"
    assert error.traceback
