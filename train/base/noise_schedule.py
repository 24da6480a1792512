"""The noise schedule of a base model, as its files state it, or a refusal: condset trains on DDPM's alone.

    scheduler_config.json: class, betas, prediction type ──> DDPMScheduler with the same betas

Samplers share their models' betas (PNDM, DDIM, Euler, DPM-Solver, ...), so any of them may be named. Flow matching,
EDM and consistency models have none: diffusers would read their files as DDPM with betas of its own, without a word.
"""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from train.base.protocol import Prediction

if TYPE_CHECKING:
    from diffusers import DDPMScheduler

BETAS = ("beta_start", "beta_end", "beta_schedule")
OTHER_ARITHMETIC: Mapping[str, object] = {"use_flow_sigmas": False, "timestep_type": "discrete", "snr_shift_scale": 1.0}
"""Settings that change what a network with these betas was trained on, and the value that leaves it DDPM's."""


def read_noise_schedule(model: str, revision: str | None = None) -> "DDPMScheduler":
    """Read the schedule of a model's directory or hub id.

    Raises ValueError, naming the scheduler's class and what can be trained on, for any other than DDPM's; OSError if
    there is none.
    """
    from diffusers import DDPMScheduler

    config = DDPMScheduler.load_config(model, subfolder="scheduler", revision=revision)
    refuse_other_schedules(config)
    schedule: DDPMScheduler = DDPMScheduler.from_config(config)
    return schedule


def refuse_other_schedules(config: Mapping[str, Any]) -> None:
    """Raise ValueError if a scheduler's configuration is not of a model that was trained as DDPM trains."""
    name = config.get("_class_name", "DDPMScheduler")
    if (problem := _problem(name, config)) is not None:
        predictions = " or ".join(get_args(Prediction))
        raise ValueError(f"scheduler {name} {problem} where DDPM's betas with {predictions} can be trained on")


def _problem(name: str, config: Mapping[str, Any]) -> str | None:
    import diffusers

    scheduler = getattr(diffusers, name, None)
    if scheduler is None:
        return "which diffusers does not know"
    # A class whose own library is missing is a stand-in that takes anything.
    if not {"beta_start", "args"} & inspect.signature(scheduler.__init__).parameters.keys():
        return "which has no betas"
    if config.get("trained_betas") is None and any(config.get(beta) is None for beta in BETAS):
        return "without betas"
    for setting, expected in OTHER_ARITHMETIC.items():
        if config.get(setting, expected) != expected:
            return f"with {setting} {config[setting]}"
    prediction = config.get("prediction_type", "epsilon")
    return None if prediction in get_args(Prediction) else f"with prediction_type {prediction}"
