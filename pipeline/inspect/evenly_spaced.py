"""Choose some samples of a data set that stand for all of it: evenly spaced, the same ones every time.

    samples of each shard ──> numbers 0, N/n, 2N/n, ... ──> (record, entry) to read by its offset

Only the records of the shards that hold a chosen sample are read.
"""

from collections.abc import Iterator, Mapping

from pipeline.dataset.record import SampleEntry, ShardRecord, read_record
from pipeline.dataset.storage import Directory


def evenly_spaced(
    home: Directory, samples_by_shard: Mapping[str, int], wanted: int
) -> Iterator[tuple[ShardRecord, SampleEntry]]:
    """Yield `wanted` samples, or all if there are fewer or `wanted` is 0, in the order of the data set.

    `samples_by_shard` holds every committed shard's name, in order, and its number of samples.
    """
    total = sum(samples_by_shard.values())
    chosen = min(wanted or total, total)
    numbers = [number * total // chosen for number in range(chosen)]
    first, position = 0, 0
    for name, samples in samples_by_shard.items():
        here = []
        while position < chosen and numbers[position] < first + samples:
            here.append(numbers[position] - first)
            position += 1
        if here:
            record = read_record(home, name)
            yield from ((record, record.samples[number]) for number in here)
        first += samples
