"""The frozen base model, as the trainer and the sampler see it: Stable Diffusion, or a small one for tests.

    images ──VAE──> posterior ──sample, scale──> latents ──+ noise──> UNet(t, context, adapter features) ──> prediction

The invariant: no parameter of it has a gradient and its bytes are equal before and after training; gradients pass
through it to the adapter's features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Prediction: TypeAlias = Literal["epsilon", "v_prediction"]


@dataclass(frozen=True, slots=True)
class FeatureShape:
    """One scale at which a UNet takes an adapter's features."""

    channels: int
    stride: int
    """Pixels of the image for one step of the feature map."""


SD1_SHAPES = (FeatureShape(320, 8), FeatureShape(640, 16), FeatureShape(1280, 32), FeatureShape(1280, 64))
"""Stable Diffusion 1.x and 2.x (SD:openaimodel.py:780-788)."""
SDXL_SHAPES = (FeatureShape(320, 16), FeatureShape(640, 16), FeatureShape(1280, 32), FeatureShape(1280, 32))
"""What T2I-Adapter feeds to Stable Diffusion XL (diffusers, FullAdapterXL)."""


def shapes_text(shapes: Sequence[FeatureShape]) -> str:
    """Write feature maps as an error names them: "320/8 640/16 1280/32 1280/64"."""
    return " ".join(f"{shape.channels}/{shape.stride}" for shape in shapes)


@dataclass(frozen=True, slots=True)
class Posterior:
    """The VAE's Gaussian over latents, before scaling."""

    mean_bchw: "Tensor"
    log_variance_bchw: "Tensor"

    def sample(self, noise_bchw: "Tensor") -> "Tensor":
        """Shift and scale standard normal noise of the same shape."""
        return self.mean_bchw + (0.5 * self.log_variance_bchw).exp() * noise_bchw


class FrozenDiffusion(Protocol):
    """A latent text-to-image diffusion model that is never trained; several threads may use it at once."""

    device: "torch.device"
    dtype: "torch.dtype"
    """Of the networks; what goes in is converted, what comes out is this or float32."""
    feature_shapes: tuple[FeatureShape, ...]
    latent_channels: int
    latent_stride: int
    """Pixels of the image for one step of the latents."""
    latent_scale: float
    """Multiplies a sample of the posterior (the VAE's scaling_factor)."""
    prediction: Prediction
    alphas_cumprod: "Tensor"
    """(time steps,) float32: the share of the signal's variance that is left at each time step."""
    identity: str
    """sha256 of the UNet's parameters: an adapter belongs to its base."""

    def encode_images(self, images_bchw: "Tensor") -> Posterior:
        """Encode (batch, 3, height, width) RGB in [-1, 1]; the posterior is float32."""
        ...

    def decode_latents(self, latents_bchw: "Tensor") -> "Tensor":
        """Decode scaled latents to (batch, 3, height, width) RGB in [-1, 1], float32, clamped; nan if not finite."""
        ...

    def encode_captions(self, captions: Sequence[str]) -> "Tensor":
        """Encode captions to (batch, tokens, channels); what exceeds the text encoder's tokens is cut off."""
        ...

    def tokens_cut(self, caption: str) -> int:
        """Count the tokens of a caption that exceed those of the text encoder, and are cut off."""
        ...

    def predict_noise(
        self,
        noisy_bchw: "Tensor",
        timesteps_b: "Tensor",
        context_bld: "Tensor",
        features: "Sequence[Tensor] | None",
    ) -> "Tensor":
        """Predict noise or velocity, as `prediction` says, in float32.

        `features`, one map for each of `feature_shapes`, are added in the UNet's encoder as diffusers'
        `down_intrablock_additional_residuals` does. Gradients reach them and nothing else.
        """
        ...

    def vae_sha256(self) -> str | None:
        """Hash the file that the VAE was read from; None if it was made in memory."""
        ...
