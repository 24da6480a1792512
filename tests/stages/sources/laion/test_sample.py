import numpy as np
import pytest

from stages.sources.laion.sample import RandomRows


@pytest.mark.parametrize("size", [1, 70, 500, 5000])
@pytest.mark.parametrize("largest", [9, 2**63])
def test_the_sample_has_the_lowest_ranks_whenever_the_others_are_thrown_out(size: int, largest: int) -> None:
    rng = np.random.default_rng(size)
    ranks = rng.integers(0, largest, 3000, dtype=np.uint64)
    sample = RandomRows(size, slack_rows=100)
    for start in range(0, len(ranks), 83):
        numbers = np.arange(start, min(start + 83, len(ranks)))
        sample.add(ranks[numbers], numbers)
    lowest = sorted(range(len(ranks)), key=lambda number: (ranks[number], number))[:size]
    assert sample.numbers().tolist() == sorted(lowest)
