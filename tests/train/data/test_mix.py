"""Several data sets in shares: to the visit, as a function of the global index alone, each in its own epochs."""

from collections import Counter
from pathlib import Path

import pytest

from stages.errors import ConfigError
from train.data.mix import BLOCK_VISITS, DataShare, MixedOrder, parse_data
from train.data.order import SampleOrder

SIZES = ([5, 5, 3], [40, 60])
"""Samples of the shards of two data sets."""


def mixed(*shares: float, seed: int = 0) -> MixedOrder:
    return MixedOrder([SampleOrder(sizes, 4, seed) for sizes in SIZES], shares, seed)


@pytest.mark.parametrize("share", [0.7, 0.5, 0.013])
@pytest.mark.parametrize("blocks", [1, 7])
def test_every_block_has_each_set_in_its_share_to_the_visit(share: float, blocks: int) -> None:
    order = mixed(share, 1 - share)
    of_first = sum(order.locate(index)[0] < 3 for index in range(blocks * BLOCK_VISITS))
    assert of_first == round(share * blocks * BLOCK_VISITS)


def test_the_visits_of_a_set_are_its_own_order() -> None:
    order, own = mixed(0.3, 0.7), SampleOrder(SIZES[0], 4, 0)
    visits = [order.locate(index) for index in range(4 * BLOCK_VISITS)]
    seen = Counter(visit for visit in visits if visit[0] < 3)
    assert seen == Counter(own.locate(index) for index in range(round(0.3 * 4 * BLOCK_VISITS)))


def test_where_a_sample_lies_does_not_depend_on_what_was_asked_before() -> None:
    forwards = [mixed(0.6, 0.4).locate(index) for index in range(0, 3000, 7)]
    order = mixed(0.6, 0.4)
    assert [order.locate(index) for index in reversed(range(0, 3000, 7))] == forwards[::-1]
    assert [mixed(0.6, 0.4, seed=1).locate(index) for index in range(0, 3000, 7)] != forwards


def test_sets_are_mixed_within_a_block() -> None:
    sets = [mixed(0.5, 0.5).locate(index)[0] < 3 for index in range(BLOCK_VISITS)]
    halves = sum(sets[: BLOCK_VISITS // 2]), sum(sets[BLOCK_VISITS // 2 :])
    assert min(halves) > BLOCK_VISITS // 5


def test_shares_are_scaled_and_locations_may_have_an_equals_sign(tmp_path: Path) -> None:
    assert parse_data(["a=7", "s3://b/c=3"]) == [DataShare("a", 0.7), DataShare("s3://b/c", 0.3)]
    assert parse_data(["a", "b=c"]) == [DataShare("a", None), DataShare("b=c", None)]
    odd = tmp_path / "x=1"
    odd.mkdir()
    assert parse_data([str(odd)]) == [DataShare(str(odd), None)]
    assert parse_data([f"{odd}=2"]) == [DataShare(str(odd), 1.0)]


def test_shares_for_some_and_shares_of_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"--data must have a share for each data set or for none, got none for b"):
        parse_data(["a=0.7", "b"])
    with pytest.raises(ConfigError, match=r"--data a must have a share above 0, got -1"):
        parse_data(["a=-1", "b=2"])
