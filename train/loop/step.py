"""One forward pass: from a batch to the loss of each of its samples.

    image or posterior ──> latents ──+ noise──> UNet <──features── adapter <── condition / 255
                                                 └──> squared error against noise or velocity, (batch,)

The same code computes training and validation losses; with `condition_bchw` replaced or left out it measures what the
condition is worth.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from train.adapters.features import adapter_features
from train.base.caption_cache import CaptionCache
from train.base.protocol import FrozenDiffusion, Posterior
from train.data.batch import Batch
from train.loop.losses import add_noise, prediction_target, sample_losses

if TYPE_CHECKING:
    from collections.abc import Sequence

    Adapter = Callable[[Tensor], Sequence[Tensor]]


def losses_of(base: FrozenDiffusion, adapter: "Adapter | None", captions: CaptionCache, batch: Batch) -> Tensor:
    """Return the loss of each sample, (batch,) float32, with gradients to the adapter's parameters.

    `adapter` maps (batch, channels, height, width) in [0, 1] to features; None leaves the base model alone.
    """
    noise = batch.noise_bchw.to(base.device, non_blocking=True)
    latents = latents_of(base, batch)
    timesteps = batch.timesteps_b.to(base.device, non_blocking=True)
    signal = base.alphas_cumprod[timesteps]
    features = None if adapter is None else adapter_features(base, adapter, batch.condition_bchw)
    prediction = base.predict_noise(add_noise(latents, noise, signal), timesteps, captions(batch.captions), features)
    return sample_losses(prediction, prediction_target(base.prediction, latents, noise, signal))


def latents_of(base: FrozenDiffusion, batch: Batch) -> Tensor:
    """Sample the posterior of each image with the noise that was drawn for it; scaled, float32."""
    noise = batch.posterior_noise_bchw.to(base.device, non_blocking=True)
    if batch.posterior_btchw is not None:
        mean, log_variance = batch.posterior_btchw.to(base.device, torch.float32, non_blocking=True).unbind(1)
        posterior = Posterior(mean, log_variance)
    else:
        assert batch.images_bchw is not None, "a batch has images or their posterior"
        posterior = base.encode_images(batch.images_bchw.to(base.device, non_blocking=True) / 127.5 - 1)
    return posterior.sample(noise) * base.latent_scale
