"""What is drawn for a visit depends on its seed, its index and the purpose, and stays the same from version to version.

The names of the purposes are as good as written on disk: a run that goes on after an update draws by them.
"""

from dataclasses import replace

import numpy as np
import pytest

from stages.randomness import random_for
from train.data.conditions import ConditionsConfig, is_flipped, sketch_threshold
from train.data.draws import ObjectiveConfig, draw
from train.data.visit import Visit

PURPOSES = ("time step", "caption drop", "caption", "noise", "posterior", "sketch threshold", "flip")
VISIT = Visit(seed=3, index=7)


def bits(visit: Visit, purpose: str) -> int:
    return int(visit.random(purpose).bit_generator.random_raw())


def test_a_visit_draws_from_its_seed_the_purpose_and_its_index() -> None:
    assert bits(VISIT, "flip") == int(random_for(3, "flip", 7).bit_generator.random_raw())


def test_every_choice_of_every_visit_is_drawn_by_itself() -> None:
    visits = (VISIT, replace(VISIT, seed=4), replace(VISIT, index=8), Visit(seed=7, index=3))
    assert len({bits(visit, purpose) for visit in visits for purpose in PURPOSES}) == len(visits) * len(PURPOSES)


def test_a_choice_may_be_drawn_again() -> None:
    assert VISIT.random("noise").random() == VISIT.random("noise").random()


@pytest.mark.parametrize(
    ("index", "timestep", "caption", "threshold", "flipped"),
    [
        (0, 949, "", 0.7, False),
        (1, 156, "three", 0.4, True),
        (2, 488, "two", 0.5, True),
        (3, 999, "two", 0.4, False),
    ],
)
def test_the_choices_of_a_visit_never_change(
    index: int, timestep: int, caption: str, threshold: float, flipped: bool
) -> None:
    visit, conditions = Visit(3, index), ConditionsConfig(flip=0.5, sketch="random")
    drawn = draw(ObjectiveConfig(caption_drop=0.5), visit, ("one", "two", "three"), (4, 8, 8), 1000)
    assert (drawn.timestep, drawn.caption) == (timestep, caption)
    assert (sketch_threshold(conditions, visit), is_flipped(conditions, visit)) == (threshold, flipped)


def test_noise_and_posterior_are_drawn_for_purposes_of_these_names() -> None:
    drawn = draw(ObjectiveConfig(), VISIT, ("one",), (4, 8, 8), 1000)
    for noise, purpose in ((drawn.noise_chw, "noise"), (drawn.posterior_noise_chw, "posterior")):
        assert np.array_equal(noise, random_for(3, purpose, 7).standard_normal((4, 8, 8), np.float32))
