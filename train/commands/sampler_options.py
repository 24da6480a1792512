"""The options of the sampler that `condset sample` and `condset eval` have in common.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

from typing import Annotated

import typer

from train.sampling.settings import MAX_STEPS, SamplerSettings

DEFAULT = SamplerSettings()

Base = Annotated[
    str | None,
    typer.Option(
        help="Base model: a Stable Diffusion in diffusers' layout, a directory or a hub id; one .safetensors or .ckpt "
        "file; or scenes, which condset ships.",
        show_default="the run's",
    ),
]
BaseConfig = Annotated[
    str | None,
    typer.Option(
        help="Of a base model in one file: a directory in diffusers' layout, or a hub id, that describes it.",
        show_default="Stable Diffusion 1.5",
    ),
]
Variant = Annotated[
    str | None,
    typer.Option(help="Variant of the base model's weight files, such as fp16.", show_default="the run's"),
]
Seed = Annotated[
    int, typer.Option(min=0, help="Seed of the first picture; each further picture takes the next number.")
]
Steps = Annotated[int, typer.Option(min=1, max=MAX_STEPS, help="Number of steps of the DDIM sampler.")]
Guidance = Annotated[float, typer.Option(min=1, help="Classifier-free guidance scale; 1 turns it off.")]
ActiveShare = Annotated[
    float,
    typer.Option(min=0, max=1, help="Share of the steps, counted from the first, in which the adapters are active."),
]
