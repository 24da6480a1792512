"""What is drawn at random for one visit of a sample.

    Visit ──> time step, noise, posterior noise, caption, drop

The invariant: each choice has a purpose of its own, so that one does not change when another is made or left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from stages.randomness import pick
from stages.records import Float32Array
from stages.settings import Settings
from train.data.visit import Visit


class ObjectiveConfig(Settings):
    """What the adapter is trained on."""

    timesteps: Literal["cubic", "uniform"] = "cubic"
    """Cubic draws high noise more often, where the layout is decided (arXiv 2302.08453, section 3.4)."""
    caption_drop: float = Field(default=0.0, ge=0, le=1)
    """The share of visits whose caption is replaced by the empty one (0 in T2I-Adapter for SD1, 0.5 in CoAdapter)."""


@dataclass(frozen=True, slots=True)
class Draws:
    """The random choices of one visit of a sample."""

    timestep: int
    caption: str
    noise_chw: Float32Array
    posterior_noise_chw: Float32Array


def draw(
    config: ObjectiveConfig,
    visit: Visit,
    captions: Sequence[str],
    latent_shape_chw: tuple[int, int, int],
    timesteps: int,
) -> Draws:
    """Draw everything that the objective needs for a visit; noise is standard normal."""
    return Draws(
        timestep=draw_timestep(config.timesteps, visit.random("time step"), timesteps),
        caption=draw_caption(config.caption_drop, visit, captions),
        noise_chw=visit.random("noise").standard_normal(latent_shape_chw, np.float32),
        posterior_noise_chw=visit.random("posterior").standard_normal(latent_shape_chw, np.float32),
    )


def draw_timestep(sampling: str, generator: np.random.Generator, timesteps: int) -> int:
    """Draw a time step of [0, timesteps).

    Cubic: (1 - u^3) T with u uniform in [0, 1), P(t >= 0.9 T) = 0.4642 (SD:train_sketch.py). The clamp matters: u = 0
    would give T itself.
    """
    uniform = generator.random()
    share = 1 - uniform**3 if sampling == "cubic" else uniform
    return min(int(share * timesteps), timesteps - 1)


def draw_caption(drop: float, visit: Visit, captions: Sequence[str]) -> str:
    """Draw one of the captions, all equally likely, or the empty one with probability `drop`."""
    if visit.random("caption drop").random() < drop:
        return ""
    return pick(visit.random("caption"), captions)
