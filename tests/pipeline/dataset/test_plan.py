import pytest

from pipeline.dataset.plan import ShardPlan, plan_shards
from stages.errors import ConfigError


def test_plans_cover_every_row_once_in_order() -> None:
    plans = plan_shards(12, 5)
    assert plans == [ShardPlan(0, 0, 5), ShardPlan(1, 5, 10), ShardPlan(2, 10, 12)]
    assert [plan.name for plan in plans] == ["0000000", "0000001", "0000002"]


def test_digests_tell_rows_and_data_sets_apart() -> None:
    first, second = plan_shards(10, 5)
    assert len({first.digest("a"), second.digest("a"), first.digest("b")}) == 3


def test_more_shards_than_names_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"samples_per_shard must give at most 10\^7 shards of 10000001 rows"):
        plan_shards(10**7 + 1, 1)
