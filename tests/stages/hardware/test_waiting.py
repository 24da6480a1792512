"""The environment that OpenMP reads, within the console script and after it."""

import os

import pytest

from stages.hardware.waiting import CHOSEN_BY, waiting_asleep
from tests.console import condset


@pytest.fixture(autouse=True)
def _undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CHOSEN_BY:
        monkeypatch.delenv(name, raising=False)


def test_threads_spin_for_microseconds_within_the_block() -> None:
    with waiting_asleep():
        assert os.environ["GOMP_SPINCOUNT"] == "1000"
    assert not set(CHOSEN_BY) & set(os.environ)


@pytest.mark.parametrize("name", CHOSEN_BY)
def test_whoever_has_decided_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "7")
    with waiting_asleep():
        assert {each: os.environ.get(each) for each in CHOSEN_BY} == dict.fromkeys(CHOSEN_BY) | {name: "7"}


def test_a_command_leaves_the_environment_as_it_was() -> None:
    before = dict(os.environ)
    assert condset("--version").status == 0
    assert dict(os.environ) == before
