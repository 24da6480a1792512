"""Random choices depend on (seed, purpose, key) alone."""

import os
import subprocess
import sys

import pytest
from scipy.stats import chisquare

from stages.randomness import pick, random_for


def _bits(seed: int, purpose: str, key: str | int) -> int:
    return int(random_for(seed, purpose, key).bit_generator.random_raw())


@pytest.mark.parametrize(
    ("seed", "purpose", "key", "first"),
    [
        (0, "scene", 0, 1423022843744134432),
        (0, "caption", "000000000139", 16633376468821640758),
        (-1, "日本", 2**70, 15895545295403800270),
    ],
)
def test_the_bits_of_a_seed_purpose_and_key_never_change(seed: int, purpose: str, key: str | int, first: int) -> None:
    assert _bits(seed, purpose, key) == first


def test_another_process_with_another_hash_seed_draws_the_same() -> None:
    program = "from stages.randomness import random_for; print(random_for(3, 'noise', 'a').random())"
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert float(run.stdout) == random_for(3, "noise", "a").random()


def test_earlier_draws_do_not_matter() -> None:
    expected = random_for(0, "noise", 5).random()
    random_for(0, "noise", 4).random(100)
    assert random_for(0, "noise", 5).random() == expected


def test_seeds_purposes_and_keys_never_share_their_bits() -> None:
    arguments: list[tuple[int, str, str | int]] = [
        (seed, purpose, key)
        for seed in (0, 1, 10)
        for purpose in ("scene", "scene captions", "noise", "")
        for key in (0, 1, "0", "1", "", "a", 'a","b')
    ]
    assert len({_bits(*argument) for argument in arguments}) == len(arguments)


def test_the_boundary_between_purpose_and_key_counts() -> None:
    assert _bits(0, "a", "bc") != _bits(0, "ab", "c")


def test_pick_draws_every_option_equally_often() -> None:
    generator = random_for(0, "test", 0)
    drawn = [pick(generator, "abcd") for _ in range(2000)]
    assert chisquare([drawn.count(option) for option in "abcd"]).pvalue > 0.001
