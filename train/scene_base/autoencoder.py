"""The autoencoder: mean squared and absolute error of the pictures, and a trace of the divergence (arXiv 2112.10752).

pictures ──encode──> posterior ──sample──> latents ──decode──> pictures
                         └── after fitting: each channel of the latents has mean 0, variance 1, hardly any noise
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from stages.randomness import random_for
from train.base.tiny import LOG_VARIANCE
from train.scene_base.fit import History, fit
from train.scene_base.recipe import BaseRecipe
from train.scene_base.scenes import Scenes

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

ENCODED_AT_ONCE = 64


def fit_autoencoder(
    vae: "AutoencoderKL", scenes: Scenes, recipe: BaseRecipe, out: Path, stepped: Callable[[str, int, float], object]
) -> tuple[History, Tensor]:
    """Fit in place and standardise the latents; returns how it went, and the latents of all scenes (`encode`'s)."""
    config = recipe.autoencoder
    vae.to(memory_format=torch.channels_last)

    def loss_of(step: int) -> Tensor:
        generator = random_for(recipe.seed, "autoencoder", step)
        images = scenes.batch(generator.integers(len(scenes), size=config.batch_size).tolist())
        posterior = vae.encode(images).latent_dist
        noise = torch.from_numpy(generator.standard_normal(posterior.mean.shape, "float32")).to(images.device)
        decoded = vae.decode(posterior.mean + posterior.std * noise).sample
        error = functional.mse_loss(decoded, images) + 0.5 * functional.l1_loss(decoded, images)
        divergence: Tensor = posterior.kl().mean()
        return error + recipe.kl_weight * divergence

    history = fit("autoencoder", vae, loss_of, config, out, stepped)
    return history, standardise(vae, encode(vae, scenes))


@torch.no_grad()
def encode(vae: "AutoencoderKL", scenes: Scenes) -> Tensor:
    """Encode every scene to the mean of its posterior, (scenes, channels, height, width)."""
    starts = range(0, len(scenes), ENCODED_AT_ONCE)
    batches = (range(start, min(start + ENCODED_AT_ONCE, len(scenes))) for start in starts)
    return torch.cat([vae.encode(scenes.batch(batch)).latent_dist.mean for batch in batches])


@torch.no_grad()
def standardise(vae: "AutoencoderKL", latents_bchw: Tensor) -> Tensor:
    """Move each channel's mean and deviation into the convolutions on both sides of the latents.

    So Stable Diffusion's one scaling factor can stay 1. The posterior becomes as narrow as that of Stable Diffusion:
    the divergence lets a channel that carries little be nearly all noise, and the denoiser is fitted on the means.
    Returns the latents as they are now.
    """
    channels = latents_bchw.shape[1]
    mean, deviation = latents_bchw.mean((0, 2, 3)), latents_bchw.std((0, 2, 3))
    before, after = vae.quant_conv, vae.post_quant_conv
    after.bias += (after.weight[:, :, 0, 0] * mean).sum(1)
    after.weight *= deviation[None, :, None, None]
    before.weight[:channels] /= deviation[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - mean) / deviation
    before.weight[channels:], before.bias[channels:] = 0, LOG_VARIANCE
    return (latents_bchw - mean[:, None, None]) / deviation[:, None, None]
