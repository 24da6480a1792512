"""The sampler's settings, which drawing, measuring and previews have in common.

Nothing heavy is imported: `condset --help` loads this file.
"""

from dataclasses import dataclass

MAX_STEPS = 999
"""Of the 1000 time steps that nearly every base has; `denoise.check_steps` knows those of the one at hand."""


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """How noise becomes a picture."""

    steps: int = 50
    """Number of DDIM steps, at most MAX_STEPS."""
    guidance: float = 7.5
    """Classifier-free guidance scale; 1 is none."""
    active_share: float = 1.0
    """Share of the steps, counted from the first, in which the adapters are active."""
    seed: int = 0
    """Seed of the first picture's starting noise; each further picture takes the next number."""
