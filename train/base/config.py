"""Which frozen base model: the `[diffusion]` table of a training configuration. `kind` picks the class."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, Union

from pydantic import Field

from stages.errors import ConfigError
from stages.settings import Mark, Settings, changed
from train.base.protocol import Prediction


class StableDiffusionConfig(Settings):
    """Which Stable Diffusion."""

    kind: Literal["stable_diffusion"] = "stable_diffusion"
    model: Annotated[str, Mark.PLACE]
    """A directory in diffusers' layout, a hub id such as stable-diffusion-v1-5/stable-diffusion-v1-5, or one file."""
    config: Annotated[str | None, Mark.PLACE] = None
    """Of a model in one file: a directory in diffusers' layout or a hub id with its configurations, tokenizer and noise
    schedule; without it the file is a Stable Diffusion 1.5."""
    revision: Annotated[str | None, Mark.PLACE] = None
    """Revision of the hub's repository."""
    variant: Annotated[str | None, Mark.PLACE] = None
    """Variant of the weight files, such as "fp16"."""


class TinyDiffusionConfig(Settings):
    """A base model with random weights."""

    kind: Literal["tiny"] = "tiny"
    seed: int = Field(default=0, ge=0)
    """Seed of the random weights."""
    prediction: Prediction = "v_prediction"
    """What the UNet predicts."""
    width: int = Field(default=1, ge=1)
    """Factor by which the UNet's channels are multiplied."""


class ScenesDiffusionConfig(Settings):
    """The small base model that condset ships: it draws the scenes of the `synthetic` source at 64 x 64 pixels."""

    kind: Literal["scenes"] = "scenes"


BUILT_IN = (TinyDiffusionConfig, ScenesDiffusionConfig)
"""What condset brings along, as opposed to a Stable Diffusion by name."""

DIFFUSIONS = {
    "stable_diffusion": StableDiffusionConfig,
    "tiny": TinyDiffusionConfig,
    "scenes": ScenesDiffusionConfig,
}

if TYPE_CHECKING:
    AnyDiffusion: TypeAlias = StableDiffusionConfig | TinyDiffusionConfig | ScenesDiffusionConfig
else:
    AnyDiffusion = Annotated[Union[tuple(DIFFUSIONS.values())], Field(discriminator="kind")]


SHIPPED = "scenes"
"""What `--base` calls the model that condset ships."""


def named_base(
    name: str | None, variant: str | None, config: str | None, of_run: AnyDiffusion | None, say: Callable[[str], None]
) -> AnyDiffusion | None:
    """Choose the base of `--base NAME --variant VARIANT --base-config CONFIG`: without a name a run's own, in that
    variant; None if there is neither.

    Raises ConfigError for a variant of a model that has none, and for a description of nothing.
    """
    if config is not None and name in (None, SHIPPED):
        raise ConfigError(f"--base-config must go with --base FILE, got {config}; leave it out")
    chosen: AnyDiffusion | None = of_run
    if name == SHIPPED:
        chosen = ScenesDiffusionConfig()
        if Path(name).exists():
            say(f"--base {name} is the model that condset ships; ./{name} would be what lies here under that name")
    elif name is not None:
        return StableDiffusionConfig(model=name, variant=variant, config=config)
    if variant is None or chosen is None:
        return chosen
    if not isinstance(chosen, StableDiffusionConfig):
        raise ConfigError(f"--variant must be left out with the base {model_name(chosen)}, got {variant}")
    return changed(chosen, variant=variant)


def model_name(diffusion: AnyDiffusion) -> str:
    """Name a base model for people: the directory or hub id, or the kind of one that condset brings along."""
    return diffusion.model if isinstance(diffusion, StableDiffusionConfig) else diffusion.kind
