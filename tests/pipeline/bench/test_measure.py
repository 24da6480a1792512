"""What becomes of the seconds that contenders report."""

import json
from collections.abc import Callable

import pytest

from pipeline.bench.limit import Bottleneck, Limit
from pipeline.bench.measure import Row, Table, duration, rows_of


def contender_of(*seconds: float) -> Callable[[], float]:
    """Make a contender that reports these, round after round."""
    left = iter(seconds)
    return lambda: next(left)


def measured(rounds: int) -> tuple[Row, ...]:
    contenders = {"theirs": contender_of(4.0, 2.0, 3.0), "ours": contender_of(1.0, 2.0, 1.5)}
    return rows_of(contenders, rounds, lambda sentence: None, {"ours": Limit(0.75, Bottleneck.MATRIX_PRODUCTS)})


def test_medians_are_compared_and_each_round_with_itself() -> None:
    theirs, ours = measured(3)
    assert theirs == Row("theirs", 1 / 3, 1.0, (1.0, 1.0, 1.0), None, None)
    assert ours == Row("ours", 1 / 1.5, 2.0, (4.0, 1.0, 2.0), 0.5, Bottleneck.MATRIX_PRODUCTS)


def test_every_round_is_announced() -> None:
    said: list[str] = []
    rows_of({"theirs": contender_of(1.0, 1.0), "ours": contender_of(1.0, 1.0)}, 2, said.append, {})
    assert said == ["round 1 of 2: theirs", "round 1 of 2: ours", "round 2 of 2: theirs", "round 2 of 2: ours"]


def test_the_table_says_how_far_the_rounds_lie_apart() -> None:
    assert Table("network", measured(3), {"network": 1.0}).lines(100) == [
        "network",
        "  theirs       0.33 images a second    1.00 x",
        "  ours         0.67 images a second    2.00 x (1.00 to 4.00)   50.0% of the limit (matrix products)",
        "  where the time goes: network 100.0%",
        "  100 images take 2.5 minutes on this machine",
    ]


def test_a_single_round_has_no_spread() -> None:
    lines = Table("network", measured(1), {}).lines(1)
    assert lines[2] == "  ours         1.00 images a second    4.00 x   75.0% of the limit (matrix products)"


def test_a_gpus_busy_share_is_said_after_the_shares_of_the_time() -> None:
    lines = Table("network", measured(1), {"network": 1.0}, gpu_busy_share=0.875).lines(1)
    assert lines[3:5] == ["  where the time goes: network 100.0%", "  the GPU is busy in 87.5% of it"]


def test_machines_get_the_estimate_of_the_last_row() -> None:
    plain = json.loads(json.dumps(Table("network", measured(3)).for_machines(100)))
    assert (plain["title"], plain["images"], plain["seconds_for_images"]) == ("network", 100, pytest.approx(150))
    assert [row["bottleneck"] for row in plain["rows"]] == [None, "matrix products"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(119, "119 seconds"), (120, "2.0 minutes"), (7200, "2.0 hours"), (172_800, "2.0 days")]
)
def test_a_time_is_said_in_its_unit(seconds: float, said: str) -> None:
    assert duration(seconds) == said
