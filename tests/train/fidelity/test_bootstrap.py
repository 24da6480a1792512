"""The percentile bootstrap."""

import numpy as np
import pytest
from scipy.stats import bootstrap as reference

from train.fidelity.bootstrap import Estimate, bootstrap


def test_the_interval_holds_a_known_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    estimates = [bootstrap(generator.normal(3, 1, 60).tolist(), seed, "mean") for seed in range(40)]
    holding = sum(estimate.low <= 3 <= estimate.high for estimate in estimates)
    assert 34 <= holding <= 40
    widths = [estimate.high - estimate.low for estimate in estimates]
    assert np.mean(widths) == pytest.approx(2 * 1.96 / 60**0.5, rel=0.1)


def test_the_interval_is_scipys_up_to_its_draws() -> None:
    values = np.random.default_rng(1).exponential(2, 50)
    expected = reference((values,), np.mean, method="percentile", n_resamples=10_000, rng=0).confidence_interval
    found = bootstrap(values.tolist(), 0, "mean")
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.02)


def test_equal_seeds_give_equal_intervals_and_others_do_not() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    assert bootstrap(values, 1, "a") == bootstrap(values, 1, "a")
    many = np.random.default_rng(2).normal(size=30).tolist()
    assert len({bootstrap(many, 1, "a"), bootstrap(many, 2, "a"), bootstrap(many, 1, "b")}) == 3


def test_equal_values_leave_no_doubt() -> None:
    assert bootstrap([0.5] * 4, 0, "mean") == Estimate(0.5, 0.5, 0.5)
