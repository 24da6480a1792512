"""The recipe of the small base model: which scenes, how long, how fast. One TOML file, `configs/base/scenes.toml`."""

from pydantic import Field

from stages.settings import Settings

SIDE_PIXELS = 64
"""Of the scenes: the smallest that are legible."""


class FitConfig(Settings):
    """How one network is fitted with AdamW, its learning rate rising linearly and falling as a cosine to 0."""

    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    lr: float = Field(gt=0)
    """The highest learning rate."""
    warmup_steps: int = Field(default=100, ge=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the moving average of the weights, which is kept; 0 keeps the last weights."""


class BaseRecipe(Settings):
    """Everything that decides the weights."""

    seed: int = 0
    scenes: int = Field(ge=64)
    """Number of different scenes, from the `synthetic` source's without people."""
    first_scene: int = Field(default=1_000_000, ge=0)
    """Number of the first scene: data sets that start at 0 hold none of them."""
    autoencoder: FitConfig
    denoiser: FitConfig
    kl_weight: float = Field(default=1e-6, ge=0)
    """Weight of the divergence of the autoencoder's posterior from the standard normal."""
    caption_drop: float = Field(default=0.1, ge=0, le=1)
    """Share of the captions that are replaced by the empty one, for classifier-free guidance."""
