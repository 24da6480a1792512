"""Batches come in their order, errors when their batch is due, and no thread is left."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.dataset.ledger import records
from pipeline.dataset.storage import Directory
from stages.errors import ShardCorrupt
from tests.train.conftest import keys, open_reader
from train.data.batch import Batch, VisitedSample, VisitReader, stack
from train.data.loader import LoaderConfig, loading

RANGES = [range(8, 11), range(0, 3), range(40, 43), range(3, 6), range(11, 14)]


@pytest.fixture(scope="module")
def read(color_data: Path) -> VisitReader:
    return open_reader([color_data], window=7)


def equal(ours: Batch, theirs: Batch) -> bool:
    assert ours.images_bchw is not None
    assert theirs.images_bchw is not None
    return (ours.keys, ours.captions) == (theirs.keys, theirs.captions) and all(
        torch.equal(*pair)
        for pair in [
            (ours.timesteps_b, theirs.timesteps_b),
            (ours.noise_bchw, theirs.noise_bchw),
            (ours.posterior_noise_bchw, theirs.posterior_noise_bchw),
            (ours.condition_bchw, theirs.condition_bchw),
            (ours.images_bchw, theirs.images_bchw),
        ]
    )


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (4, 1), (3, 4), (1, 20)])
def test_the_batches_are_those_asked_for_as_single_reads_give_them(read: VisitReader, workers: int, ahead: int) -> None:
    with loading(read, RANGES, LoaderConfig(workers=workers, ahead=ahead), pin=False) as batches:
        loaded = list(batches)
    assert len(loaded) == len(RANGES)
    for batch, indices in zip(loaded, RANGES, strict=True):
        assert equal(batch, stack([read(index) for index in indices], pin=False))


def test_a_slow_sample_does_not_change_the_order(read: VisitReader) -> None:
    def slow(index: int) -> VisitedSample:
        time.sleep(0.02 if index % 3 == 0 else 0)  # the first sample of every batch
        return read(index)

    unsteady: Any = slow
    with loading(
        unsteady, [range(start, start + 3) for start in range(0, 18, 3)], LoaderConfig(), pin=False
    ) as batches:
        order = [key for batch in batches for key in batch.keys]
    assert order == [read(index).key for index in range(18)]


def damaged(data: Path, shard: str, position: int) -> VisitReader:
    """A reader, in stored order, of a data set with one damaged sample."""
    record = next(each for each in records(Directory(str(data))) if each.name == shard)
    entry, tar = record.samples[position], data / "shards" / record.tar
    content = bytearray(tar.read_bytes())
    content[entry.offset + 600] ^= 1
    tar.write_bytes(content)
    return open_reader([data])


def test_an_error_is_raised_when_its_batch_is_due(own_data: Path) -> None:
    reader = damaged(own_data, "0000001", 2)  # sample 7
    ranges = [range(start, start + 3) for start in range(0, 12, 3)]
    with loading(reader, ranges, LoaderConfig(workers=2, ahead=4), pin=False) as batches:
        assert next(batches).keys == tuple(keys(3))
        time.sleep(0.1)  # the error has happened by now
        assert next(batches).keys == tuple(keys(3, first=3))
        with pytest.raises(ShardCorrupt, match=r"0000001\.tar sample 000000007 must have crc32 "):
            next(batches)


def test_an_error_ahead_of_a_block_that_ends_is_nobodys(own_data: Path) -> None:
    reader = damaged(own_data, "0000000", 4)
    with loading(reader, [range(0, 3), range(3, 6)], LoaderConfig(), pin=False) as batches:
        assert next(batches).keys == tuple(keys(3))
        time.sleep(0.05)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read")]


def test_threads_end_with_the_block_whatever_is_left_to_read(read: VisitReader) -> None:
    endless = (range(start, start + 4) for start in itertools.count(step=4))
    with loading(read, endless, LoaderConfig(workers=3, ahead=5), pin=False) as batches:
        next(batches)
        assert len(threads()) == 3
    assert threads() == []


def test_threads_end_with_an_error(own_data: Path) -> None:
    reader = damaged(own_data, "0000000", 0)
    with (
        pytest.raises(ShardCorrupt),
        loading(reader, [range(0, 3), range(3, 6)], LoaderConfig(), pin=False) as batches,
    ):
        next(batches)
    assert threads() == []


def test_no_more_is_read_ahead_than_asked_for(read: VisitReader) -> None:
    asked: list[range] = []

    def endless() -> Iterator[range]:
        for start in itertools.count(step=2):
            asked.append(range(start, start + 2))
            yield asked[-1]

    with loading(read, endless(), LoaderConfig(ahead=3), pin=False) as batches:
        for taken in range(1, 5):
            next(batches)
            assert len(asked) == taken + 3


def test_what_nobody_waits_for_any_more_is_not_read(read: VisitReader) -> None:
    done: list[int] = []

    def counted(index: int) -> VisitedSample:
        time.sleep(0.01)
        done.append(index)
        return read(index)

    counting: Any = counted
    with loading(counting, [range(4)] * 20, LoaderConfig(workers=1, ahead=20), pin=False) as batches:
        next(batches)
    assert 4 <= len(done) < 20


def test_no_batches_are_none(read: VisitReader) -> None:
    with loading(read, [], LoaderConfig(), pin=False) as batches:
        assert list(batches) == []
