"""Choose some samples of a data set that stand for all of it: evenly spaced, the same ones every time.

    samples of each shard ──> numbers 0, N/n, 2N/n, ... ──> (shard, position) to read

Only the records of the shards that hold a chosen sample are read.
"""

from collections.abc import Iterator, Mapping


def evenly_spaced(samples_by_shard: Mapping[str, int], wanted: int) -> Iterator[tuple[str, int]]:
    """Yield the shard and the position there of `wanted` samples, in the order of the data set.

    All of them if there are fewer or `wanted` is 0.
    """
    total = sum(samples_by_shard.values())
    chosen = min(wanted or total, total)
    numbers = iter([number * total // chosen for number in range(chosen)])
    number, first = next(numbers, None), 0
    for name, samples in samples_by_shard.items():
        while number is not None and number < first + samples:
            yield name, number - first
            number = next(numbers, None)
        first += samples
