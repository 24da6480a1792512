"""The order of the samples: each once an epoch, shuffled among neighbours, split over workers without loss."""

from collections import Counter
from itertools import permutations, product

import pytest
from scipy.stats import chisquare

from train.data.order import SampleOrder, batch_indices

SIZES = ([1], [7], [3, 1, 4, 1, 5], [10] * 6, [2, 0, 3])
WINDOWS = (None, 1, 2, 5, 1000)


def everything(sizes: list[int]) -> list[tuple[int, int]]:
    return [(shard, position) for shard, size in enumerate(sizes) for position in range(size)]


def epoch(order: SampleOrder, number: int) -> list[tuple[int, int]]:
    return [order.locate(index) for index in range(number * order.samples, (number + 1) * order.samples)]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_every_epoch_visits_every_sample_once(sizes: list[int], window: int | None) -> None:
    order = SampleOrder(sizes, window, seed=0)
    assert order.samples == sum(sizes)
    for number in (0, 1, 2, 1000):
        assert sorted(epoch(order, number)) == everything(sizes)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_without_a_window_nothing_is_shuffled(sizes: list[int]) -> None:
    order = SampleOrder(sizes, None, seed=0)
    assert epoch(order, 0) == epoch(order, 5) == everything(sizes)


def test_epochs_have_different_orders() -> None:
    order = SampleOrder([10] * 6, 20, seed=0)
    assert len({tuple(epoch(order, number)) for number in range(20)}) == 20


def test_equal_seeds_give_equal_orders_whatever_was_asked_before() -> None:
    sizes = [3, 1, 4, 1, 5]
    order, again, other = (SampleOrder(sizes, 4, seed) for seed in (0, 0, 1))
    indices = range(5 * order.samples)
    backwards = {index: again.locate(index) for index in reversed(indices)}
    assert [order.locate(index) for index in indices] == [backwards[index] for index in indices]
    assert [order.locate(index) for index in indices] != [other.locate(index) for index in indices]


def test_a_window_mixes_neighbouring_shards_and_no_others() -> None:
    order = SampleOrder([10] * 6, 20, seed=0)
    pairs = set()
    for number in range(10):
        visited = epoch(order, number)
        for start in range(0, 60, 20):
            shards = Counter(shard for shard, _ in visited[start : start + 20])
            assert sorted(shards.values()) == [10, 10]  # two shards, whole
            pairs.add(tuple(sorted(shards)))
            assert [shard for shard, _ in visited[start : start + 20]] != sorted(shards.elements())
    assert len(pairs) > 10  # the shards themselves are shuffled: any two may be neighbours


def test_a_window_of_one_leaves_the_samples_of_a_shard_in_their_order() -> None:
    order = SampleOrder([4, 4, 4], 1, seed=0)
    for number in range(3):
        visited = epoch(order, number)
        assert [position for _, position in visited] == [0, 1, 2, 3] * 3


def test_all_orders_of_a_window_are_equally_likely() -> None:
    order = SampleOrder([4], 4, seed=0)
    counts = Counter(tuple(position for _, position in epoch(order, number)) for number in range(2400))
    assert chisquare([counts[each] for each in permutations(range(4))]).pvalue > 0.001


@pytest.mark.parametrize(("workers", "accumulation"), list(product((1, 2, 3), (1, 2, 4))))
def test_workers_and_parts_share_the_samples_without_loss_or_duplication(workers: int, accumulation: int) -> None:
    taken = [
        list(batch_indices(step, part, rank, 3, accumulation, workers))
        for step, part, rank in product(range(5), range(accumulation), range(workers))
    ]
    assert {len(each) for each in taken} == {3}
    assert sorted(index for each in taken for index in each) == list(range(5 * accumulation * workers * 3))


@pytest.mark.parametrize("step", [0, 1, 1000])
def test_two_workers_take_in_one_part_what_one_takes_in_two(step: int) -> None:
    two_workers = [batch_indices(step, 0, rank, 4, 1, 2) for rank in range(2)]
    two_parts = [batch_indices(step, part, 0, 4, 2, 1) for part in range(2)]
    assert two_workers == two_parts


def test_the_workers_stand_side_by_side_in_each_part() -> None:
    ranges = [batch_indices(1, part, rank, 2, 2, 3) for part in range(2) for rank in range(3)]
    assert ranges == [range(start, start + 2) for start in range(12, 24, 2)]


def test_each_step_goes_on_where_the_last_one_ended() -> None:
    ranges = [batch_indices(step, 0, 0, 8, 1, 1) for step in range(3)]
    assert ranges == [range(0, 8), range(8, 16), range(16, 24)]
