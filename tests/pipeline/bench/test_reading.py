"""The bench of reading: its readers hand over the same, and its figures are of what it says."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.bench.reading import ReaderName, bench_read, make_data, measure_opening, read_all


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("read") / "data"
    make_data(directory, 10, 64)
    return directory


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves its tars open
def test_the_readers_hand_over_the_same_samples(data: Path) -> None:
    ours, theirs = (list(read_all(data, each)) for each in (ReaderName.IN_ORDER, ReaderName.WEBDATASET))
    assert len(ours) == len(theirs) == 10
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine[0], other[0])
        np.testing.assert_array_equal(mine[1], other[1])
        assert mine[2] == other[2]


def test_the_random_order_is_another_order_of_all_samples(data: Path) -> None:
    in_order, shuffled = (
        [each[2] for each in read_all(data, name)] for name in (ReaderName.IN_ORDER, ReaderName.RANDOM)
    )
    assert in_order != shuffled
    assert sorted(in_order) == sorted(shuffled)


def test_opening_is_of_as_many_shards_and_samples_as_it_says(data: Path, tmp_path: Path) -> None:
    opening = measure_opening(data, tmp_path / "large", 1000, 67)
    assert (opening.shards, opening.samples) == (1000, 67_000)
    assert opening.memory_bytes >= 0


@pytest.mark.slow
def test_the_bench_runs_through() -> None:
    result = bench_read(8, 64, 1, lambda sentence: None)
    assert [row.name for row in result.reading.rows] == list(ReaderName)
    assert result.opening.samples == 67_000_000
