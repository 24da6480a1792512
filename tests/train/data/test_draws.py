"""What is drawn for a visit has the distribution that it should have.

The statistics are of fixed seeds, so they cannot fail by chance; SciPy says what chance gives in all but one of a
thousand cases.
"""

import math

import numpy as np
import pytest
from scipy.stats import (
    binomtest,
    chisquare,
    kstest,
    norm,
    normaltest,
    ttest_1samp,
)

from stages.records import Float32Array
from train.data.draws import ObjectiveConfig, draw, draw_caption, draw_timestep
from train.data.visit import Visit

TIMESTEPS = 1000
SHAPE_CHW = (4, 8, 8)
CHANCE = 0.001
FIVE = ("one", "two", "three", "four", "five")


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[int]]:
    """5000 time steps of each way to draw them."""
    return {
        sampling: [draw_timestep(sampling, Visit(0, index).random("time step"), TIMESTEPS) for index in range(5000)]
        for sampling in ("cubic", "uniform")
    }


@pytest.mark.parametrize("sampling", ["cubic", "uniform"])
def test_time_steps_have_the_distribution_that_their_name_says(sampling: str, drawn: dict[str, list[int]]) -> None:
    edges = np.linspace(0, TIMESTEPS, 21)
    below = edges / TIMESTEPS if sampling == "uniform" else 1 - np.cbrt(1 - edges / TIMESTEPS)
    counts, _ = np.histogram(drawn[sampling], edges)
    assert chisquare(counts, counts.sum() * np.diff(below)).pvalue > CHANCE


def test_the_two_distributions_are_told_apart(drawn: dict[str, list[int]]) -> None:
    counts, _ = np.histogram(drawn["cubic"], np.linspace(0, TIMESTEPS, 21))
    assert chisquare(counts).pvalue < 1e-100


def test_cubic_sampling_prefers_high_noise_as_t2i_adapter_does(drawn: dict[str, list[int]]) -> None:
    steps = np.array(drawn["cubic"])
    assert binomtest(int((steps >= 900).sum()), len(steps), 0.4642).pvalue > CHANCE
    assert binomtest(int((steps < 100).sum()), len(steps), 0.0345).pvalue > CHANCE
    assert ttest_1samp(steps, 749.5).pvalue > CHANCE


class Always(np.random.Generator):
    """A generator of one number."""

    def __init__(self, value: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.value = value

    def random(self) -> float:  # type: ignore[override]
        return self.value


@pytest.mark.parametrize(("sampling", "uniform", "expected"), [("cubic", 0.0, 999), ("uniform", 0.0, 0)])
def test_the_lowest_random_number_gives_a_time_step_that_exists(sampling: str, uniform: float, expected: int) -> None:
    assert draw_timestep(sampling, Always(uniform), TIMESTEPS) == expected


@pytest.mark.parametrize(("sampling", "expected"), [("cubic", 0), ("uniform", 999)])
def test_the_highest_random_number_gives_a_time_step_that_exists(sampling: str, expected: int) -> None:
    assert draw_timestep(sampling, Always(1 - 2**-53), TIMESTEPS) == expected


def test_the_captions_of_an_image_are_equally_likely() -> None:
    captions = [draw_caption(0, Visit(0, index), FIVE) for index in range(2000)]
    assert chisquare([captions.count(each) for each in FIVE]).pvalue > CHANCE


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_share_of_the_captions_is_dropped_and_the_others_are_as_without(share: float) -> None:
    visits = range(2000)
    without = [draw_caption(0, Visit(0, index), FIVE) for index in visits]
    captions = [draw_caption(share, Visit(0, index), FIVE) for index in visits]
    dropped = [caption == "" for caption in captions]
    assert binomtest(sum(dropped), len(visits), share).pvalue > CHANCE
    assert all(caption in ("", other) for caption, other in zip(captions, without, strict=True))


def test_which_captions_are_dropped_does_not_depend_on_which_caption_it_is() -> None:
    visits = range(2000)
    lost = [draw_caption(0, Visit(0, each), FIVE) for each in visits if draw_caption(0.5, Visit(0, each), FIVE) == ""]
    assert chisquare([lost.count(each) for each in FIVE]).pvalue > CHANCE


@pytest.mark.parametrize(("share", "expected"), [(0.0, {"only"}), (1.0, {""})])
def test_no_caption_or_every_caption_is_dropped(share: float, expected: set[str]) -> None:
    assert {draw_caption(share, Visit(0, index), ["only"]) for index in range(200)} == expected


@pytest.fixture(scope="module")
def noises() -> Float32Array:
    """The noise and the posterior's noise of 300 visits, one in a row."""
    draws = [draw(ObjectiveConfig(), Visit(0, index), ["a"], SHAPE_CHW, TIMESTEPS) for index in range(300)]
    return np.stack([each.ravel() for one in draws for each in (one.noise_chw, one.posterior_noise_chw)])


def test_noise_is_standard_normal(noises: Float32Array) -> None:
    values = noises.ravel().astype(np.float64)
    assert kstest(values, "norm").pvalue > CHANCE
    assert normaltest(values).pvalue > CHANCE
    assert ttest_1samp(values, 0).pvalue > CHANCE
    assert ttest_1samp(values**2, 1).pvalue > CHANCE


def test_noise_of_different_visits_and_of_one_visits_posterior_is_independent(
    noises: Float32Array,
) -> None:
    visits, length = noises.shape
    standard = noises / np.linalg.norm(noises, axis=1, keepdims=True)
    correlation = (standard @ standard.T)[np.triu_indices(visits, 1)] * math.sqrt(length)
    assert abs(correlation).max() < norm.isf(CHANCE / 2 / correlation.size)  # 5.7; equal noise would give 16
    assert correlation.std() == pytest.approx(1, abs=0.01)


def test_a_visit_is_drawn_alike_whatever_is_drawn_in_between() -> None:
    config = ObjectiveConfig(caption_drop=0.5)
    first, *others, again = (draw(config, Visit(3, index), FIVE, SHAPE_CHW, TIMESTEPS) for index in (7, 8, 6, 100, 7))
    assert (first.timestep, first.caption) == (again.timestep, again.caption)
    assert np.array_equal(first.noise_chw, again.noise_chw)
    assert np.array_equal(first.posterior_noise_chw, again.posterior_noise_chw)
    assert not any(np.array_equal(first.noise_chw, other.noise_chw) for other in others)


def test_another_seed_draws_otherwise() -> None:
    ours, theirs = (draw(ObjectiveConfig(), Visit(seed, 7), FIVE, SHAPE_CHW, TIMESTEPS) for seed in (0, 1))
    assert ours.timestep != theirs.timestep
    assert not np.array_equal(ours.noise_chw, theirs.noise_chw)
