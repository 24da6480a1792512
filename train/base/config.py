"""Which frozen base model: the `[diffusion]` table of a training configuration. `kind` picks the class."""

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, Union

from pydantic import Field

from stages.settings import Mark, Settings
from train.base.protocol import Prediction


class StableDiffusionConfig(Settings):
    """Which Stable Diffusion."""

    kind: Literal["stable_diffusion"] = "stable_diffusion"
    model: Annotated[str, Mark.PLACE]
    """A directory in diffusers' layout, or a hub id such as stable-diffusion-v1-5/stable-diffusion-v1-5."""
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


def model_name(diffusion: AnyDiffusion) -> str:
    """Name a base model for people: the directory or hub id, or the kind of one that condset brings along."""
    return diffusion.model if isinstance(diffusion, StableDiffusionConfig) else diffusion.kind
