"""The rows of index.parquet are written as the source's own rows would be: the same parts, to the byte."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.dataset.index import ROWS_PER_GROUP
from pipeline.dataset.listing import write_index, write_listed
from pipeline.dataset.storage import Directory
from pipeline.upgrade.former import FormerIndex, former_batches, read_former_index
from stages.records import IndexRow, Reason, Rejection
from stages.sources.index.dropped import with_dropped
from stages.sources.index.schema import NO_KEYPOINTS, to_batches
from tests.pipeline.conftest import tree
from tests.pipeline.upgrade.format_1 import make_format_1

ROWS = 2 * ROWS_PER_GROUP + 100


class FilteredSource:
    """Rows of which every fifth has scores and every seventh is rejected; with each batch one more is passed over."""

    kind, split, base_uri, label_offset = "filtered", "train", "", 0
    labels: Mapping[int, str] = {}

    def batches(self) -> Iterator[pa.RecordBatch]:
        keypoints = np.arange(17 * 3, dtype=np.float32).reshape(1, 17, 3)
        rows = (
            IndexRow(
                key=f"{number:09d}",
                image_uri=f"{number}.jpg",
                captions=("blå", "雪")[: 1 + number % 2],
                source_url="",
                license="CC BY",
                width=64,
                height=number,
                keypoints=keypoints if number % 3 else NO_KEYPOINTS,
                label_uri="",
                scores={} if number % 5 else {"aesthetic": number / 7},
                rejection=None if number % 7 else Rejection(f"{number:09d}", Reason.TOO_SMALL, "so small"),
            )
            for number in range(ROWS)
        )
        for batch in to_batches(rows):
            yield with_dropped(batch, {"small": 1, "unsafe": 0})


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("former")
    write_index(Directory(str(data)), FilteredSource(), 0, "listed by")
    make_format_1(data)
    return data


def test_it_tells_of_itself(former: Path) -> None:
    sha256 = hashlib.sha256((former / "index.parquet").read_bytes()).hexdigest()
    assert read_former_index(Directory(str(former))) == FormerIndex(
        ROWS, sha256, {"small": 3, "unsafe": 0}, "listed by"
    )


@pytest.mark.parametrize("rows_per_part", [ROWS_PER_GROUP, 5000, 1_000_000])
def test_the_parts_have_the_bytes_of_a_listing(rows_per_part: int, former: Path, tmp_path: Path) -> None:
    listed, copied = Directory(str(tmp_path / "listed")), Directory(str(tmp_path / "copied"))
    write_index(listed, FilteredSource(), 0, "listed by", rows_per_part)
    there = read_former_index(Directory(str(former)))
    write_listed(copied, former_batches(Directory(str(former))), there.dropped, there.listed_by, rows_per_part)
    files = tree(tmp_path / "copied")
    assert files == tree(tmp_path / "listed")
    assert len(json.loads(files["index.json"])["parts"]) == -(-ROWS // rows_per_part)
