"""The sampler's settings are one value, and the commands' options begin with its defaults."""

import inspect
from collections.abc import Callable
from dataclasses import asdict

import pytest

from train.commands.evaluate import evaluate
from train.commands.sample import sample
from train.sampling.settings import SamplerSettings


@pytest.mark.parametrize("command", [sample, evaluate])
def test_a_command_without_options_draws_as_the_settings_say_by_themselves(command: Callable[..., None]) -> None:
    options = inspect.signature(command).parameters
    defaults = asdict(SamplerSettings())
    assert {name: options[name].default for name in defaults} == defaults
    assert defaults == {"steps": 50, "guidance": 7.5, "active_share": 1.0, "seed": 0}
